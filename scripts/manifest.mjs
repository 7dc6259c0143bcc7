// What package.json must say so that npm's users get what JSR's users get: the same entry points under the same
// names, and the same version. deno.json is where they are written by hand.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./runtimes.mjs";

/** The entry point that is a program: a `bin` on npm, `deno run jsr:...` on JSR. */
const PROGRAM = "./cli";

/**
 * The entry points of deno.json.
 *
 * @returns {{ key: string, name: string, source: string, types: string }[]} `key` as in `exports`; `name` of the
 *   script in dist/; `source` and `types` (its declaration in dist/types) as paths in their folders.
 */
export function entryPoints() {
  return Object.entries(read("deno.json").exports).map(([key, path]) => {
    const source = path.replace("./", "");
    return {
      key,
      name: key === "." ? "mod" : key.slice(2),
      source,
      types: source.replace(/\.ts$/, ".d.ts"),
    };
  });
}

/**
 * Compares package.json with deno.json.
 *
 * @returns {string[]} What is wrong, one sentence each.
 */
export function differences() {
  const npm = read("package.json");
  const jsr = read("deno.json");
  const found = [];
  expect("version", npm.version, jsr.version);
  expect("license", npm.license, jsr.license);

  const entries = entryPoints();
  const libraries = entries.filter(({ key }) => key !== PROGRAM);
  const exports = libraries.map(({ key, name, types }) => [
    key,
    { types: `./dist/types/${types}`, default: `./dist/${name}.js` },
  ]);
  expect("exports", npm.exports, Object.fromEntries(exports));

  const program = entries.find(({ key }) => key === PROGRAM);
  expect("bin", npm.bin, program && { [npm.name]: `dist/${program.name}.js` });

  const said = /VERSION = "([^"]*)"/.exec(readFileSync(join(root, "src/cli/version.ts"), "utf8"));
  if (said?.[1] !== npm.version) {
    found.push(`src/cli/version.ts must say "${npm.version}", as package.json does`);
  }

  const lock = read("package-lock.json");
  if (lock.version !== npm.version) {
    found.push(
      `package-lock.json has version ${lock.version}; run "npm install --package-lock-only"`,
    );
  }
  return found;

  function expect(field, actual, expected) {
    if (JSON.stringify(actual) === JSON.stringify(expected)) return;
    found.push(
      `package.json must have "${field}": ${
        JSON.stringify(expected, null, 2)
      }, as deno.json says; ` +
        `it has ${JSON.stringify(actual, null, 2)}`,
    );
  }
}

function read(name) {
  return JSON.parse(readFileSync(join(root, name), "utf8"));
}
