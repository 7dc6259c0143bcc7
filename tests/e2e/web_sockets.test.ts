// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startLoad } from "../../bench/load/load.ts";
import { frameOf } from "../../bench/load/web_socket_frame.ts";
import { Chain, type Said } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";
import { Wire } from "../support/wire.ts";

const script = fileURLToPath(new URL("../fixtures/web_sockets.ts", import.meta.url));
const runtime = current();
const kinds = runtime.runtime === "node" ? ["ws"] : ["ws", "native"];
const limit = { timeout: 120_000 };
const FLIPS = 3;

interface Service {
  readonly port: (name: string) => number;
  /** Upgrades; resolves with what became of the connections of the old process. */
  readonly flip: () => Promise<Said>;
}

async function started(t: TestContext): Promise<Service> {
  const chain = new Chain({ runtime, script });
  t.after(() => chain.end());
  let generation = 1;
  await chain.event("ready", generation);
  return {
    port: (name) => (chain.address(name) as { port: number }).port,
    flip: async () => {
      const { pid } = await chain.event("ready", generation);
      process.kill(pid, "SIGHUP");
      const drained = await chain.event("drained", generation++);
      await chain.event("ready", generation);
      return drained;
    },
  };
}

const HOW = { echo: "saturated", slow: "answers after 300 ms", publish: "by publish" } as const;

for (const kind of kinds) {
  const isBun = runtime.runtime === "bun" && kind === "native";
  for (const name of ["echo", "slow", ...isBun ? ["publish"] as const : []] as const) {
    test(
      `clients that ask and wait lose no message: ${kind}, ${HOW[name]}`,
      limit,
      async (t) => {
        const { port, flip } = await started(t);
        const load = startLoad({
          target: { port: port(`${kind} ${name}`) },
          webSocket: 8,
          timeoutMs: 10_000,
          proberMs: 0,
          maxMs: limit.timeout,
        });
        for (let flips = 0; flips < FLIPS; flips++) {
          const { cut, closedPolitely } = await flip();
          assert.deepEqual({ cut, closedPolitely }, { cut: 0, closedPolitely: 8 });
        }
        const { lossKinds, connections, answered, inconsistencies } = await load.stop();
        assert.deepEqual({ lossKinds, inconsistencies }, { lossKinds: {}, inconsistencies: [] });
        assert.equal(connections.endings["close-frame 1012"], 8 * FLIPS);
        assert.ok(answered > 2 * 8 * (FLIPS + 1), `${answered} is no load`);
      },
    );
  }

  test(
    `a WebSocket that is idle and one that only sends are told, too: ${kind}`,
    limit,
    async (t) => {
      const { port, flip } = await started(t);
      const wires = [0, 1].map(() => new Wire({ port: port(`${kind} mute`), host: "127.0.0.1" }));
      for (const wire of wires) {
        wire.ask(
          "/",
          "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        );
      }
      await Promise.all(wires.map((wire) => wire.expect(/^HTTP\/1\.1 101 [^]*\r\n\r\n/)));
      const flipped = flip();
      let isTold = false;
      const told = wires.map(async (wire) => {
        const text = await wire.expect(/^\x88[^]{3}/);
        assert.equal(Buffer.from(text, "latin1").readUInt16BE(2), 1012);
        wire.write(frameOf(8, Buffer.from("03f4", "hex")));
      });
      const telling = Promise.all(told).finally(() => isTold = true);
      while (!isTold) {
        wires[1]?.write(frameOf(1, Buffer.from("news")));
        await sleep(50);
      }
      await telling;
      const { cut, closedPolitely } = await flipped;
      assert.deepEqual({ cut, closedPolitely }, { cut: 0, closedPolitely: 2 });
    },
  );
}
