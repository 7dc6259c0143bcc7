/**
 * The command line of the benchmark.
 *
 * @module
 */

import { parseArgs } from "node:util";

/** What is asked for. */
export interface BenchOptions {
  /** Names of parts, `report` among them: it makes pages and plots of the results. */
  readonly only: readonly string[];
  readonly runs: number;
  readonly quick: boolean;
  readonly rows: readonly string[];
  /** Where results are written to. */
  readonly results: string | undefined;
}

/** The pseudo-part that writes pages and plots. */
export const REPORT = "report";

/** The text of `--help`. */
export function usage(parts: readonly { readonly name: string; readonly what: string }[]): string {
  const width = Math.max(...parts.map(({ name }) => name.length), REPORT.length);
  const list = [...parts, {
    name: REPORT,
    what: "pages and plots from the results (part of a full run)",
  }]
    .map(({ name, what }) => `  ${name.padEnd(width)}  ${what}`);
  return `Usage: npm run bench -- [options]

  --only NAMES     comma-separated parts; default: all
  --runs N         runs of each row, default 5
  --rows NAMES     only rows whose name contains one of these
  --quick          one short run of everything, in a folder of its own: shows that it works, figures mean nothing
  --results PATH   folder for results; default: bench/results, with --quick a temporary one
  --help

Parts:
${list.join("\n")}
`;
}

/**
 * Reads the command line.
 *
 * @throws {TypeError} With a text for whoever typed it.
 * @returns `undefined` when help is wanted.
 */
export function readOptions(
  args: readonly string[],
  parts: readonly string[],
): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      runs: { type: "string" },
      rows: { type: "string", default: "" },
      quick: { type: "boolean", default: false },
      results: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const known = [...parts, REPORT];
  const only = values.only === undefined ? known : listOf(values.only);
  const unknown = only.find((name) => !known.includes(name));
  if (unknown !== undefined || only.length === 0) {
    throw new TypeError(`Unknown part "${unknown ?? ""}"; there are: ${known.join(", ")}`);
  }
  const runs = Number(values.runs ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(runs) || runs < 1) {
    throw new TypeError(`--runs is "${values.runs}", expected a whole number of at least 1`);
  }
  return {
    only,
    runs,
    quick: values.quick,
    rows: listOf(values.rows),
    results: values.results,
  };
}

function listOf(text: string): string[] {
  return text.split(",").map((name) => name.trim()).filter((name) => name !== "");
}
