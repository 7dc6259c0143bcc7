import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Chain } from "../support/chain.ts";
import { testPairs } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/close_on_exec.ts", import.meta.url));

/** Together with those of kinds.ts more than forty sockets. */
const MORE = 25;
/** Deno marks nothing that it inherited; the library does, in `create`. Node and Bun do when they start something. */
const LATE = "child before create";

testPairs(
  "a subprocess that the application starts, by whatever API and at whatever moment, holds none of our descriptors",
  async ({ parent, child }) => {
    const folder = mkdtempSync(join(tmpdir(), "co-"));
    const passed = join(folder, "passed");
    writeFileSync(passed, "");
    const env = { FOLDER: folder, PASSED: passed, MORE: String(MORE) };
    const chain = new Chain({ runtime: parent, script, env });
    try {
      const first = await chain.event("ready", 1);
      const upgrade = chain.get("/", { command: child.command(script) });
      const second = await chain.event("waiting");
      process.kill(first.pid, "SIGUSR2");
      await chain.event("checked: first while its child initialises");
      process.kill(second.pid, "SIGUSR2");
      assert.equal((await upgrade).status, 200, chain.errors);
      await chain.event("checked: child after ready");
      await chain.event("checked: first draining");

      const checks = chain.said.filter(({ event }) => event.startsWith("checked: "));
      const moments = checks.map(({ event }) => event.slice("checked: ".length));
      assert.deepEqual(moments.toSorted(), [
        "child after ready",
        "child before create",
        "child between listen and ready",
        "first after ready",
        "first before create",
        "first between listen and ready",
        "first draining",
        "first while its child initialises",
      ]);
      for (const [i, { leaks, apis }] of checks.entries()) {
        assert.ok(apis.length >= 7, "every API was asked");
        const moment = String(moments[i]);
        if (child.runtime !== "deno" || moment !== LATE) {
          assert.deepEqual(leaks, [], moment);
          continue;
        }
        // What README warns of: it holds all that was passed. Should this fail, Deno has become better.
        assert.equal(leaks.length, apis.length, moment);
        for (const leak of leaks) {
          assert.ok(leak.split("socket:").length > 40 && leak.includes(passed), leak);
        }
      }
    } finally {
      await chain.end();
      rmSync(folder, { recursive: true });
    }
  },
);
