import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Chain } from "../support/chain.ts";
import { runtimes, testPairs } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/kinds.ts", import.meta.url));

const client = fileURLToPath(new URL("../fixtures/tls_client.ts", import.meta.url));
// Clients of Deno and Bun do not take a session.
const node = runtimes.find(({ name }) => name === "node24");

/** One connection. @returns Who answered, whether the session was resumed, and the session it got. */
async function connect(port: number, version: string, session?: string) {
  assert.ok(node !== undefined);
  const [file = "", ...args] = node.command(client, [
    `${port}`,
    version,
    ...(session === undefined ? [] : [session]),
  ]);
  const { stdout } = await promisify(execFile)(file, args);
  return JSON.parse(stdout) as { answer: string; resumed: boolean; session: string };
}

testPairs(
  "a TLS session is resumed by the successor, where both are Node",
  async ({ parent, child }) => {
    const chain = new Chain({ runtime: parent, script, env: { ONLY: "tls.node.tcp" } });
    try {
      await chain.event("ready", 1);
      const { port } = chain.address("tls.node.tcp") as { port: number };
      const versions = ["TLSv1.2", "TLSv1.3"] as const;
      const before = await Promise.all(versions.map((version) => connect(port, version)));
      const { status, text } = await chain.get("/", { command: child.command(script) });
      assert.equal(status, 200, text);
      await chain.event("exit", 1);
      for (const [index, version] of versions.entries()) {
        const after = await connect(port, version, before[index]?.session);
        assert.equal(after.answer, "2");
        // Deno and Bun keep their keys to themselves.
        const expected = parent.runtime === "node" && child.runtime === "node";
        assert.equal(after.resumed, expected, version);
      }
    } finally {
      await chain.end();
    }
  },
);
