/* @ts-self-types="./runtimes.d.mts" */
// Which runtimes the tests run on, and where they are: the one place that knows. Plain JavaScript, because
// `npm test` starts under whatever Node the machine has, and Node 20 cannot read TypeScript.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The folder of the project. */
export const root = fileURLToPath(new URL("..", import.meta.url));

const modules = join(root, "node_modules");

// Deno and Bun are launchers that fetch their binary from a platform package in a postinstall script. npm may
// not have run it, and then the binary still lies in the platform package, of which npm installs what fits.
const known = [
  { name: "node22", runtime: "node", places: () => [join(modules, "node22/bin/node")] },
  { name: "node24", runtime: "node", places: () => [join(modules, "node24/bin/node")] },
  { name: "node26", runtime: "node", places: () => [join(modules, "node26/bin/node")] },
  {
    name: "deno",
    runtime: "deno",
    places: () => [join(modules, "deno/deno"), ...platformPackages("@deno", "deno")],
  },
  {
    name: "bun",
    runtime: "bun",
    places: () => [join(modules, "bun/bin/bun.exe"), ...platformPackages("@oven", "bin/bun")],
  },
];

/** Names of all runtimes that the tests know. */
export const names = known.map(({ name }) => name);

/** The runtimes that are here, and those that are not with the reason. */
export function discover() {
  const present = [];
  const missing = [];
  for (const { name, runtime, places } of known) {
    const variable = variableOf(name);
    const chosen = process.env[variable];
    const candidates = chosen ? [chosen] : places();
    const executable = candidates.find(isBinary);
    if (executable) {
      present.push(describe(name, runtime, executable));
    } else {
      const why = chosen
        ? `${variable} is "${chosen}", which is not an executable file`
        : `its package is not installed on ${process.platform}-${process.arch}; run "npm ci", or set ${variable} to an executable`;
      missing.push({ name, runtime, why });
    }
  }
  return { present, missing };
}

/** A runtime of that name and executable, also one that is not in the list. */
export function describe(name, runtime, executable) {
  return {
    name,
    runtime,
    executable,
    command: (script, args = [], flags = []) => [
      executable,
      ...(runtime === "deno" ? ["run", "-A"] : runtime === "bun" ? ["run"] : []),
      ...flags,
      script,
      ...args,
    ],
  };
}

/** The environment variable that names the executable to use instead of the installed package's. */
export function variableOf(name) {
  return `CHANGEOVER_TEST_${name.toUpperCase()}`;
}

function platformPackages(scope, file) {
  try {
    return readdirSync(join(modules, scope)).sort().map((name) => join(modules, scope, name, file));
  } catch {
    return []; // nothing of that scope is installed
  }
}

// A launcher whose postinstall has not run is a script of some hundred bytes that only prints an error.
function isBinary(path) {
  try {
    const found = statSync(path);
    return found.isFile() && (found.mode & 0o111) !== 0 && found.size > 1_000_000;
  } catch {
    return false;
  }
}
