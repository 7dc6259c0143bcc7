/** A runtime that the tests can start. */
export interface TestRuntime {
  /** `node22`, `node24`, `node26`, `deno`, `bun`. */
  readonly name: string;
  readonly runtime: "node" | "deno" | "bun";
  /** Absolute path of its binary. */
  readonly executable: string;
  /** The command line that runs a script; `flags` are the runtime's own and come before the script. */
  readonly command: (
    script: string,
    args?: readonly string[],
    flags?: readonly string[],
  ) => string[];
}

/** A runtime that is not here. */
export interface MissingRuntime {
  readonly name: string;
  readonly runtime: "node" | "deno" | "bun";
  /** What to print when something is skipped for it. */
  readonly why: string;
}

export declare const root: string;
export declare const names: readonly string[];
export declare function discover(): {
  readonly present: readonly TestRuntime[];
  readonly missing: readonly MissingRuntime[];
};
export declare function describe(
  name: string,
  runtime: "node" | "deno" | "bun",
  executable: string,
): TestRuntime;
export declare function variableOf(name: string): string;
