/**
 * Just enough reading of TypeScript for the rules in architecture.test.ts: imports, and code without comments.
 *
 * @module
 */

/** What one `import` or `export ... from` names. */
export interface Import {
  readonly specifier: string;
  /** Whether it is erased: `import type`, or every name in the braces has its own `type`. */
  readonly typeOnly: boolean;
  /** Whether it is loaded when the code runs: `import("...")`. */
  readonly dynamic: boolean;
}

/**
 * Lists what a module imports, dynamic imports with literal names included.
 *
 * @param source TypeScript.
 * @returns One entry per statement, in no useful order.
 */
export function importsOf(source: string): readonly Import[] {
  const code = withoutComments(source);
  const found: Import[] = [];
  for (
    const match of code.matchAll(
      /^\s*(?:import|export)\s+(type\s+)?([^;"'()=]*?)\s*from\s*"([^"]+)"/gm,
    )
  ) {
    const [, type, names = "", specifier = ""] = match;
    const listed = /^\{([^}]*)\}$/.exec(names.trim())?.[1]?.split(",").map((name) => name.trim())
      .filter((name) => name !== "");
    const erased = listed?.every((name) => name.startsWith("type ")) ?? false;
    found.push({ specifier, typeOnly: type !== undefined || erased, dynamic: false });
  }
  for (const [, bracket = "", specifier = ""] of code.matchAll(/\bimport\s*(\(?)\s*"([^"]+)"/g)) {
    found.push({ specifier, typeOnly: false, dynamic: bracket !== "" });
  }
  return found;
}

/**
 * Blanks comments.
 *
 * @param source TypeScript.
 * @returns The same with each comment replaced by one space.
 */
export function withoutComments(source: string): string {
  return pieces(source).map(({ kind, text }) => kind === "comment" ? " " : text).join("");
}

/**
 * Blanks comments and the text inside of quotes, but not what stands in `${...}`.
 *
 * @param source TypeScript.
 * @returns What is left are keywords, names and punctuation.
 */
export function withoutText(source: string): string {
  return pieces(source).map(({ kind, text }) =>
    kind === "code" ? text : kind === "comment" ? " " : '""'
  ).join("");
}

interface Piece {
  readonly kind: "code" | "comment" | "text";
  readonly text: string;
}

// Sticky, tried in this order. A slash begins a regular expression where an operand may stand.
const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const TEMPLATE = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{)/y;
const REGULAR_EXPRESSION = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const OPERAND_FOLLOWS = /(?:^|[(,=:[!&|?{};>+*%~^-]|\b(?:return|typeof|case|of|in|await))\s*$/;

function pieces(source: string): readonly Piece[] {
  const found: Piece[] = [];
  const templates: number[] = []; // for each open `${`, how many braces are open inside of it
  let code = "";
  let at = 0;

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  const push = (kind: Piece["kind"], text: string): void => {
    if (code !== "") found.push({ kind: "code", text: code });
    code = "";
    found.push({ kind, text });
    at += text.length;
  };
  const template = (): void => {
    at++; // the backtick, or the brace that ends an expression
    const text = take(TEMPLATE) ?? source.slice(at);
    push("text", text);
    if (text.endsWith("${")) templates.push(0);
  };

  while (at < source.length) {
    const character = source.charAt(at);
    const depth = templates.length - 1;
    if (character === "/" || character === '"' || character === "'") {
      const comment = take(COMMENT);
      const text = take(QUOTED) ??
        (OPERAND_FOLLOWS.test(code.slice(-40)) || code === ""
          ? take(REGULAR_EXPRESSION)
          : undefined);
      if (comment !== undefined) push("comment", comment);
      else if (text !== undefined) push("text", text);
      else {
        code += character;
        at++;
      }
    } else if (character === "`") {
      template();
    } else if (character === "}" && templates[depth] === 0) {
      templates.pop();
      template();
    } else {
      if (depth >= 0 && character === "{") templates[depth] = (templates[depth] ?? 0) + 1;
      if (depth >= 0 && character === "}") templates[depth] = (templates[depth] ?? 0) - 1;
      code += character;
      at++;
    }
  }
  if (code !== "") found.push({ kind: "code", text: code });
  return found;
}
