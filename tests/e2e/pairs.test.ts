import process from "node:process";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, Chain, get, isRunning, until } from "../support/chain.ts";
import { testPairs } from "../support/runtimes.ts";

testPairs(
  "TCP v4, TCP v6, dual-stack, Unix, raw and native sockets pass to the successor, and only it stays",
  async ({ parent, child }) => {
    const folder = mkdtempSync(join(tmpdir(), "co-"));
    writeFileSync(join(folder, "file"), "handed over");
    const chain = new Chain({
      runtime: parent,
      config: {
        main: "native",
        file: join(folder, "file"),
        listen: [
          { port: 0, hostname: "127.0.0.1", name: "v4" },
          { port: 0, hostname: "::1", name: "v6" },
          { port: 0, name: "dual" },
          `unix:${folder}/app.sock`,
        ],
      },
    });
    try {
      const first = await chain.event("ready", 1);
      const names = ["v4", "v6", "dual", `unix:${folder}/app.sock`];
      const before = names.map((name) => chain.address(name));
      for (const target of before) assert.equal(await ask(target), "1");
      assert.match((await chain.get("/", undefined, "native")).text, /^1 /);

      const answer = await chain.upgradeTo(child);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.runtime, child.runtime);
      const second = await chain.event("ready", 2);
      assert.equal(second.runtime, child.runtime);
      assert.deepEqual(
        names.map((name) => chain.address(name)),
        before,
        "every address is the same as before",
      );
      assert.deepEqual(second.addresses, first.addresses);
      for (const target of before) assert.equal(await ask(target), "2");
      const dual = chain.address("dual") as { port: number };
      assert.equal(await ask({ host: "::1", port: dual.port }), "2");
      assert.match((await chain.get()).text, /^2 /);
      assert.match((await chain.get("/", undefined, "native")).text, /^2 /);
      assert.equal((await chain.event("raw")).text, "handed over");

      assert.equal((await chain.event("exit", 1)).reason, "upgraded");
      assert.equal((await chain.event("drained", 1)).cut, 0);
      await until("the parent has ended by itself", () => !isRunning(first.pid));
      await chain.event("alone", 2);
      assert.equal(await ask(before[3]!), "2", "the Unix path survives the parent");

      process.kill(second.pid, "SIGTERM");
      assert.equal((await chain.event("exit", 2)).reason, "stopped");
      await until("the child has ended by itself", () => !isRunning(second.pid));
      await assert.rejects(get(chain.address("main")), "nobody listens any more");
      await assert.rejects(
        ask({ path: `${folder}/app.sock` }),
        /ENOENT/,
        "the last owner removes the path",
      );
    } finally {
      await chain.end();
      rmSync(folder, { recursive: true });
    }
  },
);
