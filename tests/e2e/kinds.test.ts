import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Asker, type Speech } from "../support/askers.ts";
import { Chain, isRunning, until } from "../support/chain.ts";
import { testPairs } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/kinds.ts", import.meta.url));

const SPEECH: Readonly<Record<string, Speech>> = {
  http: "http",
  late: "http",
  https: "https",
  h2c: "h2c",
  h2: "h2",
  tcp: "tcp",
  tls: "tls",
};

testPairs(
  "servers of every kind, with and without TLS, on TCP and Unix sockets, are replaced under load and lose nothing",
  async ({ parent, child }) => {
    const folder = mkdtempSync(join(tmpdir(), "co-"));
    const chain = new Chain({ runtime: parent, script, env: { FOLDER: folder } });
    const askers = new Map<string, Asker>();
    try {
      const first = await chain.event("ready", 1);
      const names = (first["addresses"] as { name: string }[]).map(({ name }) => name)
        .filter((name) => name !== "main");
      assert.equal(names.length, 22, "all kinds are there");
      for (const name of names) {
        askers.set(name, new Asker(SPEECH[name.split(".")[0]!]!, chain.address(name)));
      }
      const all = [...askers.values()];
      await until(
        "every socket has answered",
        () => all.every(({ asked }) => asked.count > 0 || asked.lost.length > 0),
      );
      const answer = await chain.get("/", { command: child.command(script) });
      assert.equal(answer.status, 200, answer.text + chain.errors);
      await chain.event("exit", 1);
      await until(
        "the successor has answered on every socket",
        () => all.every(({ asked }) => asked.answers.includes("2") || asked.lost.length > 0),
      );
      const drained = await chain.event("drained", 1);
      for (const [name, asker] of askers) {
        const { answers, lost } = await asker.stop();
        assert.deepEqual(lost, [], `${name} lost nothing`);
        assert.equal(answers[0], "1", name);
        assert.equal(answers.at(-1), "2", name);
      }
      assert.equal(drained.cut, 0);
      await until("the parent has ended by itself", () => !isRunning(first.pid));
      const second = await chain.event("ready", 2);
      process.kill(second.pid, "SIGTERM");
      await until("the child has ended by itself", () => !isRunning(second.pid));
      assert.deepEqual(readdirSync(folder), [], "no path is left");
    } finally {
      for (const asker of askers.values()) await asker.stop();
      await chain.end();
      rmSync(folder, { recursive: true });
    }
  },
);
