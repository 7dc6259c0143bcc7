import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  alternatives,
  SUPPORT,
  type SupportRow,
  type Way,
  wayOf,
} from "../../src/backend/support.ts";

const WORDS: Readonly<Record<Way, string>> = {
  native: "takes the descriptor",
  transplant: "socket is placed into it",
  fallback: "another server accepts for it",
  unsupported: "serves, but is not replaced",
};

function cell(support: SupportRow["node"]): string {
  if (support === undefined) return "";
  const { placing, without } = support;
  return placing === without ? WORDS[placing] : `${WORDS[placing]}; without: ${WORDS[without]}`;
}

test("README shows the table of what is supported", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const rows = SUPPORT.map(({ label, node, deno, bun }) =>
    `| ${[label, cell(node), cell(deno), cell(bun)].join(" | ")} |`.replaceAll(/ {2,}/g, " ")
  );
  const table = [
    "| server (Linux, x86-64) | Node 22, 24, 26 | Deno 2.9 | Bun 1.4 |",
    "| --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
  assert.ok(readme.includes(`\n\n${table}\n\n`), `README.md has not this table:\n\n${table}\n`);
});

test("the way of a server is told by runtime, kind and whether sockets can be placed", () => {
  assert.equal(wayOf("bun", "node:http", true), "transplant");
  assert.equal(wayOf("bun", "node:http", false), "fallback");
  assert.equal(wayOf("deno", "native:http", false), "unsupported");
  assert.equal(wayOf("node", "native:http", true), undefined);
});

test("where no socket can be placed, the servers that are replaced all the same are named", () => {
  assert.equal(alternatives("bun"), "node:net, node:tls, node:http or node:http2");
  assert.equal(alternatives("deno"), "node:net, node:tls, node:http, node:https or node:http2");
});
