// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { current } from "../support/runtimes.ts";

const runtime = current();
const script = fileURLToPath(new URL("../fixtures/refusals.ts", import.meta.url));

function run(...args: string[]): Promise<Record<string, string>> {
  const [file = "", ...rest] = runtime.command(script, args);
  return new Promise((resolve, reject) => {
    execFile(
      file,
      rest,
      { timeout: 20_000, env: { ...process.env, NO_COLOR: "1" } },
      (error, stdout, stderr) => {
        const line = stdout.split("\n").find((text) => text.startsWith("{"));
        if (line === undefined) reject(error ?? new Error(`It printed nothing: ${stderr}`));
        else resolve(JSON.parse(line));
      },
    );
  });
}

test("bad options and a second upgrader are refused with a sentence that says what to do", {
  timeout: 30_000,
}, async () => {
  const said = await run();
  assert.match(
    said["unknown"]!,
    /^TypeError: .*"drainTimeout" is not an option; known are .*drainTimeoutMs/,
  );
  assert.match(said["bound"]!, /^RangeError: .*upgradeTimeoutMs: 0 is not an integer from 1 to/);
  assert.match(said["folder"]!, /\/nonexistent/);
  assert.equal(
    said["first"],
    "created",
    "a refused attempt does not stand in the way of a good one",
  );
  assert.match(said["second"]!, /^ERR_ALREADY_CREATED: /);
});

test("a worker thread is refused with ERR_UNSUPPORTED and told what to do instead", {
  timeout: 30_000,
}, async () => {
  assert.match((await run("worker"))["refused"]!, /^ERR_UNSUPPORTED: .*worker thread.*main thread/);
});

test(
  "a node:cluster worker is refused with ERR_UNSUPPORTED and told what to do instead",
  { timeout: 30_000, skip: runtime.runtime === "node" ? false : "node:cluster workers are Node's" },
  async () => {
    assert.match((await run("cluster"))["refused"]!, /^ERR_UNSUPPORTED: .*node:cluster/);
  },
);
