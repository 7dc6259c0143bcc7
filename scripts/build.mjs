// `npm run build`: makes dist/ for npm. deno.json's `exports` say what the entry points are; JSR ships the sources.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { build as bundle } from "esbuild";
import { entryPoints } from "./manifest.mjs";
import { run } from "./run.mjs";
import { root } from "./runtimes.mjs";

// In a declaration file: from "./a.ts", import "./a.ts", import("./a.ts").
const SPECIFIER = /(\bfrom\s*|\bimport\s*\(?\s*)"(\.{1,2}\/[^"]+)\.ts"/g;

const { values } = parseArgs({ options: { out: { type: "string", default: join(root, "dist") } } });

try {
  await build(resolve(values.out));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

async function build(out) {
  rmSync(out, { recursive: true, force: true });
  const entries = entryPoints();
  await Promise.all([scripts(entries, out), declarations(entries, join(out, "types"))]);
  console.log(
    `Built ${entries.map(({ name }) => name).join(", ")} into ${relative(root, out) || "."}`,
  );
}

async function scripts(entries, out) {
  await bundle({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(entries.map(({ name, source }) => [name, `./${source}`])),
    outdir: out,
    bundle: true,
    splitting: true, // also keeps what is imported dynamically, the runtimes' backends, in files of its own
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    external: ["bun:*"],
    // Beside the scripts, but not named in them: Deno reads a map with each script that names one, 2 ms at every start.
    sourcemap: "external",
    logLevel: "warning",
  });
}

async function declarations(entries, out) {
  const folder = mkdtempSync(join(tmpdir(), "changeover-types-"));
  try {
    const config = join(folder, "tsconfig.json");
    const emitted = join(folder, "types");
    writeFileSync(
      config,
      JSON.stringify({
        extends: join(root, "tsconfig.json"),
        compilerOptions: {
          noEmit: false,
          emitDeclarationOnly: true,
          rootDir: root,
          outDir: emitted,
          typeRoots: [join(root, "node_modules/@types")],
        },
        files: entries.map(({ source }) => join(root, source)),
        include: [],
        exclude: [],
      }),
    );
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    const { code, output } = await run([process.execPath, compiler, "-p", config], {
      cwd: root,
      limitMs: 120_000,
    });
    if (code !== 0) throw new Error(output);
    publishReachable(entries.map(({ types }) => types), emitted, out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Copies what the entry points' declarations lead to. The compiler writes one for every module, and keeps ".ts" in
// them (`rewriteRelativeImportExtensions` changes scripts only).
function publishReachable(names, from, to) {
  const seen = new Set(names);
  for (const name of seen) {
    const text = readFileSync(join(from, name), "utf8").replace(
      SPECIFIER,
      (_, before, specifier) => {
        seen.add(join(dirname(name), `${specifier}.d.ts`));
        return `${before}"${specifier}.js"`;
      },
    );
    mkdirSync(dirname(join(to, name)), { recursive: true });
    writeFileSync(join(to, name), text);
  }
}
