import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";
import { type Import, importsOf, withoutComments, withoutText } from "./support/source.ts";

// The rooms of ARCHITECTURE.md, and which rooms each may call. Types may be taken from anywhere: they are erased.
const MAY_CALL: Readonly<Record<string, readonly string[]>> = {
  pure: ["pure"],
  command: ["pure", "command"],
  libc: ["pure", "libc"],
  backend: ["pure", "command", "libc", "backend"],
  drain: ["pure", "drain"],
  control: ["pure", "control"],
  systemd: ["pure", "backend", "systemd"],
  core: ["pure", "command", "backend", "drain", "control", "systemd", "core"],
  serve: ["pure", "backend", "drain", "control", "core", "systemd", "serve"],
  testing: ["pure", "command", "drain", "core", "testing"],
  cli: ["pure", "command", "backend", "control", "core", "systemd", "cli"],
};

const PURE = [
  "address",
  "errors",
  "frames",
  "hostname",
  "machine",
  "machine_child",
  "machine_leaving",
  "machine_owner",
  "machine_rows",
  "machine_types",
  "protocol",
];

/** Where the names of runtimes may appear in code. */
const KNOWS_RUNTIMES = ["src/backend/", "src/drain/", "src/serve/"];

/** The only modules of others, each in the one file that may import it. */
const OPTIONAL_PEERS: Readonly<Record<string, string>> = {
  "src/serve/node.ts": "srvx/node",
};

const root = new URL("../", import.meta.url);
const files = ["mod.ts", ...sourcesIn("src")].filter((path) => existsSync(new URL(path, root)));
const sources = new Map(files.map((path) => [path, readFileSync(new URL(path, root), "utf8")]));
const imports = new Map(
  [...sources].map(([path, source]) => [path, importsOf(source)] as const),
);

test("mod.ts does nothing but re-export by name", { skip: missing("mod.ts") }, () => {
  const code = withoutComments(sources.get("mod.ts") ?? "");
  const rest = code.replace(/\bexport\s+(?:type\s+)?\{[^}]*\}\s*from\s*"[^"]+";/g, "");
  assert.equal(rest.trim(), "");
});

test("every entry point of deno.json is documented as a module", () => {
  const config: { readonly exports: Readonly<Record<string, string>> } = JSON.parse(
    readFileSync(new URL("deno.json", root), "utf8"),
  );
  for (const path of Object.values(config.exports).map((path) => posix.normalize(path))) {
    if (missing(path) !== false) continue; // for the build to complain about
    assert.match(sources.get(path) ?? "", /^(?:#!.*\n)?\/\*\*[\s\S]*?@module\b/, path);
  }
});

test("modules are named in full: relative ones with .ts, all others are node: builtins or an optional peer", () => {
  holds((path) =>
    importsIn(path)
      .filter(({ specifier }) =>
        !/^\.{1,2}\/.*\.ts$|^node:/.test(specifier) && OPTIONAL_PEERS[path] !== specifier
      )
      .map(({ specifier }) => `imports "${specifier}"`)
  );
});

test("an optional peer is imported only when it is needed, and is not a dependency", () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    readFileSync(new URL("package.json", root), "utf8"),
  );
  assert.deepEqual(Object.keys(dependencies ?? {}), []);
  for (const [path, specifier] of Object.entries(OPTIONAL_PEERS)) {
    const name = specifier.split("/")[0] ?? "";
    assert.notEqual(peerDependencies[name], undefined, name);
    assert.equal(peerDependenciesMeta[name].optional, true, name);
    const code = withoutComments(sources.get(path) ?? "");
    assert.match(code, new RegExp(`await import\\("${specifier}"\\)`), path);
    assert.doesNotMatch(code, new RegExp(`from "${specifier}"`), path);
  }
});

test("what a module imports exists", () => {
  holds((path) =>
    targetsOf(path).filter(({ target }) => !existsSync(new URL(target, root)))
      .map(({ target }) => `imports ${target}`)
  );
});

test("pure modules import only each other", () => {
  holds((path) =>
    roomOf(path) !== "pure" ? [] : importsIn(path)
      .filter(({ specifier }) => roomOf(posix.join("src", specifier)) !== "pure")
      .map(({ specifier }) => `imports "${specifier}"`)
  );
});

test("pure modules read neither clock nor process", () => {
  const impure =
    /\b(?:process|globalThis|performance|fetch|setTimeout|setInterval|Date\.now|new Date\(\))/;
  holds((path) => roomOf(path) === "pure" ? mentions(path, impure) : []);
});

test("rooms call only the rooms below them", () => {
  holds((path) => {
    const allowed = MAY_CALL[roomOf(path)];
    if (path === "mod.ts" || allowed === undefined) return [];
    return targetsOf(path)
      .filter(({ target, typeOnly }) => !typeOnly && !allowed.includes(roomOf(target)))
      .map(({ target }) => `of room "${roomOf(path)}" calls ${target} of "${roomOf(target)}"`);
  });
});

test("every room is in the table", () => {
  holds((path) =>
    path !== "mod.ts" && MAY_CALL[roomOf(path)] === undefined ? [`is in "${roomOf(path)}"`] : []
  );
});

test("the command line starts with nothing but its table: code of commands is loaded when they run", () => {
  const start = new Set(["src/cli/main.ts"]);
  for (const path of start) {
    for (const { target, typeOnly, dynamic } of targetsOf(path)) {
      if (!typeOnly && !dynamic) start.add(target);
    }
  }
  const used = [...start].flatMap((path) =>
    importsIn(path).filter(({ specifier, typeOnly, dynamic }) =>
      !typeOnly && !dynamic && specifier.startsWith("node:")
    ).map(({ specifier }) => `${path} imports ${specifier}`)
  );
  assert.deepEqual(used, ["src/cli/main.ts imports node:process"]);
});

test("the core enters the backend through load.ts alone", () => {
  holds((path) =>
    roomOf(path) !== "core" ? [] : targetsOf(path)
      .filter(({ target, typeOnly }) =>
        !typeOnly && roomOf(target) === "backend" &&
        !["src/backend/load.ts", "src/backend/backend.ts"].includes(target)
      )
      .map(({ target }) => `calls ${target}`)
  );
});

test("a runtime's name appears only in backend, drain and serve", () => {
  holds((path) => {
    if (isBelow(path, KNOWS_RUNTIMES)) return [];
    const asked = /"(?:Deno|Bun)"\s+in\b/.exec(withoutComments(sources.get(path) ?? ""));
    return [
      ...mentions(path, /\b(?:Deno|Bun)\b|\bprocess\.versions\b/),
      ...(asked ? [`says ${asked[0]}`] : []),
    ];
  });
});

test("the C library is opened only in backend/libc", () => {
  holds((path) => {
    if (isBelow(path, ["src/backend/libc/"])) return [];
    const named = /"(?:bun:ffi|node:ffi|koffi)"/.exec(withoutComments(sources.get(path) ?? ""));
    return [...mentions(path, /\bdlopen\b/), ...(named ? [`names ${named[0]}`] : [])];
  });
});

test("no module calls itself in a circle", () => {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(" -> "));
    if (way.includes(path) || done.has(path)) return;
    for (const { target, typeOnly } of targetsOf(path)) {
      if (!typeOnly) visit(target, [...way, path]);
    }
    done.add(path);
  };
  for (const path of files) visit(path, []);
  assert.deepEqual(circles, []);
});

test("the clock of the day, which may jump, is read only for what people read", () => {
  const forPeople = [
    // When a draining generation will cut: shown by status().
    "src/core.ts",
    // The history of upgrades.
    "src/teller.ts",
    // CLOCK_MONOTONIC in microseconds, which systemd asks for; it does not jump.
    "src/backend/common.ts",
    "src/cli/status_text.ts",
    "src/cli/watch.ts",
  ];
  holds((path) =>
    forPeople.includes(path) ? [] : mentions(path, /\bDate\b|\bhrtime\.bigint|\btimeOrigin\b/)
  );
});

test("nothing in the library ends the process", () => {
  holds((path) => roomOf(path) === "cli" ? [] : mentions(path, /\b(?:process|Deno)\.exit\(/));
});

test("nothing in the library prints except the default logger and the program", () => {
  const allowed = ["src/options.ts", "src/logger.ts"];
  holds((path) =>
    roomOf(path) === "cli" || allowed.includes(path) ? [] : mentions(path, /\bconsole\.\w+/)
  );
});

/** Lists what is wrong in any file, as `path: what`. */
function holds(rule: (path: string) => readonly string[]): void {
  assert.deepEqual(files.flatMap((path) => rule(path).map((wrong) => `${path} ${wrong}`)), []);
}

function importsIn(path: string): readonly Import[] {
  return imports.get(path) ?? [];
}

/** The relative imports of a file, as paths in the project. */
function targetsOf(
  path: string,
): readonly { target: string; typeOnly: boolean; dynamic: boolean }[] {
  return importsIn(path).filter(({ specifier }) => specifier.startsWith("."))
    .map(({ specifier, typeOnly, dynamic }) => ({
      target: posix.join(posix.dirname(path), specifier),
      typeOnly,
      dynamic,
    }));
}

function roomOf(path: string): string {
  if (path.startsWith("src/backend/libc/")) return "libc";
  const [, room, file] = path.split("/");
  if (file !== undefined) return room ?? "";
  const name = room?.replace(/\.ts$/, "") ?? "";
  if (PURE.includes(name)) return "pure";
  return /^command(?:_|$)/.test(name) ? "command" : "core";
}

function mentions(path: string, pattern: RegExp): readonly string[] {
  const found = pattern.exec(withoutText(sources.get(path) ?? ""));
  return found ? [`says ${found[0]}`] : [];
}

function isBelow(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path.startsWith(folder));
}

function missing(path: string): false | string {
  return existsSync(new URL(path, root)) ? false : `${path} does not exist yet`;
}

function sourcesIn(folder: string): readonly string[] {
  return readdirSync(new URL(`${folder}/`, root), { withFileTypes: true })
    .sort((a, b) => a.name < b.name ? -1 : 1)
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return sourcesIn(path);
      return entry.name.endsWith(".ts") ? [path] : [];
    });
}
