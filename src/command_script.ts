/**
 * Which script a command line starts, where that can be told for sure.
 *
 * @module
 */

interface Grammar {
  /** Sub-commands before the script. */
  readonly run: RegExp;
  /** Flags that stand alone. */
  readonly plain: RegExp;
  /** Flags that take the next argument. */
  readonly valued: RegExp;
}

const NODE: Grammar = {
  run: /^$/,
  plain:
    /^--(?:no-.+|inspect(?:-brk)?|enable-source-maps|expose[-_]gc|watch|permission|use-system-ca|preserve-symlinks(?:-main)?|(?:trace|throw)-(?:warnings|deprecation|uncaught)|experimental-(?:strip-types|transform-types|ffi|sqlite|vm-modules|wasm-modules|require-module))$/,
  valued:
    /^(?:-[rC]|--(?:require|import|loader|experimental-loader|conditions|env-file(?:-if-exists)?|title|disable-warning))$/,
};
const DENO: Grammar = {
  run: /^(?:run|serve)$/,
  plain:
    /^(?:-[ANRWESIqr]+|--(?:(?:allow|deny|no|unstable|inspect)(?:-.+)?|cached-only|check|frozen|quiet|reload|watch))$/,
  valued:
    /^(?:-[cL]|--(?:config|import-map|preload|import|require|cert|location|seed|ext|log-level|host|port))$/,
};
const BUN: Grammar = {
  run: /^run$/,
  plain: /^(?:-b|--(?:bun|smol|hot|watch|silent|no-.+|inspect(?:-brk|-wait)?|expose-gc))$/,
  valued:
    /^(?:-[rdlc]|--(?:preload|require|import|env-file|config|define|loader|conditions|port))$/,
};
const SCRIPT = /^(?![a-z][a-z0-9+.-]*:).+\.(?:[cm]?[jt]s|[jt]sx)$/is;

/**
 * Finds the script in a command line of Node, Deno or Bun.
 *
 * It rather finds nothing than something wrong: an unknown flag, a sub-command, a URL, a folder, or a name without an
 * ending that the runtime would complete gives `undefined`, and so does any other program, such as a compiled one.
 *
 * @param command Program and arguments.
 * @returns The script as it is written there.
 */
export function scriptOf(command: readonly string[]): string | undefined {
  const [program, ...rest] = command;
  const grammar = grammarOf(program ?? "");
  if (grammar === undefined) return undefined;
  for (let index = 0; index < rest.length; index += 1) {
    const text = rest[index] ?? "";
    if (text === "--") return script(rest[index + 1]);
    if (!text.startsWith("-")) {
      if (grammar.run.test(text)) continue;
      return script(text);
    }
    if (text.startsWith("--cwd")) return undefined; // Bun: the script is relative to a folder named here
    if (grammar.valued.test(text)) index += 1;
    else if (!text.includes("=") && !grammar.plain.test(text)) return undefined;
  }
  return undefined;
}

function grammarOf(program: string): Grammar | undefined {
  const name = program.slice(program.lastIndexOf("/") + 1);
  const match = /^(?:(node(?:js)?)|(deno)|bun)[-.0-9]*(?:\.exe)?$/.exec(name);
  if (match === null) return undefined;
  if (match[1] !== undefined) return NODE;
  return match[2] !== undefined ? DENO : BUN;
}

function script(text: string | undefined): string | undefined {
  return text !== undefined && SCRIPT.test(text) ? text : undefined;
}
