/**
 * Programs that start a server and wait for it: `npm start` and its like.
 *
 * They end when the first generation does, although its successor serves on, and they keep SIGHUP to themselves. Pure.
 *
 * @module
 */

/** One process, as the system tells it (proc(5)). */
export interface ProcessLine {
  readonly cmdline: readonly string[];
  readonly parentPid: number;
}

const SHELL = /^-?(?:ba|da|z|k|a)?sh$/;
const RUNNERS = /^(npm|npx|pnpm|pnpx|yarn|bunx|tsx|nodemon)(?:-cli|pkg)?(?:\.[cm]?js)?$/;

const nameOf = (path: string | undefined) => path?.slice(path.lastIndexOf("/") + 1) ?? "";

/** The name of a wrapper by its command line; `undefined` for everything else. */
function named(cmdline: readonly string[]): string | undefined {
  // npm and pnpm write their title over their command line: "npm start".
  const [program = "", first = "", second] = cmdline.flatMap((text, index) =>
    index === 0 && !text.startsWith("/") ? text.split(" ") : [text]
  );
  const name = nameOf(program);
  const own = RUNNERS.exec(name)?.[1];
  if (own !== undefined) return own;
  if (name === "deno" && first === "task") return "deno task";
  // A script of package.json; `bun run server.ts` is the server itself.
  if (name === "bun" && first === "run" && second !== undefined && !/[./]/.test(second)) {
    return "bun run";
  }
  if (!/^node(?:js)?[-.0-9]*$/.test(name)) return undefined;
  const script = cmdline.slice(1).find((text) => !text.startsWith("-"));
  const [, runner] = RUNNERS.exec(nameOf(script)) ?? [];
  if (runner !== undefined) return runner;
  // node .../tsx/dist/cli.mjs
  return /\/(tsx|nodemon)\/(?:dist|bin)\//.exec(script ?? "")?.[1];
}

/**
 * Finds the wrapper that started a process and waits for it.
 *
 * @param parentPid Of the process.
 * @param look Looks at a process; `undefined` when it cannot be seen.
 * @returns Its name; `undefined` when something else started the process.
 */
export function findWrapper(
  parentPid: number,
  look: (pid: number) => ProcessLine | undefined,
): string | undefined {
  const parent = look(parentPid);
  if (parent === undefined) return undefined;
  const own = named(parent.cmdline);
  if (own !== undefined) return own;
  // npm runs its scripts by a shell, which may or may not have become the program.
  if (!SHELL.test(nameOf(parent.cmdline[0])) || parent.cmdline[1] !== "-c") return undefined;
  const grandparent = look(parent.parentPid);
  return grandparent === undefined ? undefined : named(grandparent.cmdline);
}

/** What the operator is told. */
export function wrapperWarning(wrapper: string): string {
  return `this process was started by ${wrapper}, which ends together with the first generation, and keeps SIGHUP to itself; ` +
    'start the program itself, or put "changeover run --" in front of it in the script';
}
