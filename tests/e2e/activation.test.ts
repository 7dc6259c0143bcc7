// Runs on: node26
// Sockets that a service manager passed. This process makes them (only Node 26 can), and starts every runtime.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { lstatSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { ActivationConfig } from "../fixtures/activation.ts";
import { Asker, askOnce } from "../support/askers.ts";
import { Chain, isRunning, until } from "../support/chain.ts";
import {
  activated,
  closeSocket,
  isNonBlocking,
  type ManagedSocket,
  openSocket,
  type SocketUnit,
} from "../support/manager_sockets.ts";
import { runtimes, type TestRuntime } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/activation.ts", import.meta.url));

function open(t: TestContext, unit: SocketUnit): ManagedSocket {
  const socket = openSocket(unit);
  t.after(() => closeSocket(socket.fd));
  return socket;
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function start(
  t: TestContext,
  runtime: TestRuntime,
  sockets: Readonly<Record<string, ManagedSocket>>,
  config: ActivationConfig,
  env: Record<string, string> = {},
): Chain {
  const chain = new Chain({
    runtime: {
      ...runtime,
      command: (path) => activated(runtime.command(path), Object.keys(sockets)),
    },
    script,
    passed: Object.values(sockets).map(({ fd }) => fd),
    env: { FIXTURE: JSON.stringify(config), ...env },
  });
  t.after(() => chain.end());
  return chain;
}

function askUdp(port: number): Promise<string> {
  const socket = createSocket("udp4");
  const answer = new Promise<string>((resolve, reject) => {
    socket.once("message", (message) => resolve(message.toString()));
    socket.once("error", reject);
  });
  socket.send("hello", port, "127.0.0.1");
  return answer.finally(() => socket.close());
}

// What Node 24 does lies between what the others do.
for (const runtime of runtimes.filter(({ name }) => name !== "node24")) {
  test(
    `sockets of a service manager are served, passed on, and survive a crash (${runtime.name})`,
    {
      timeout: 120_000,
    },
    async (t) => {
      const path = join(folderFor(t), "app.sock");
      const sockets = {
        "app.socket": open(t, { type: "stream" }),
        native: open(t, { type: "stream", ipv6: true }),
        local: open(t, { type: "stream", path }),
        dns: open(t, { type: "datagram" }),
        events: open(t, { type: "datagram", path: `${path}.events` }),
        spare: open(t, { type: "stream" }),
      };
      const inode = lstatSync(path).ino;
      const config: ActivationConfig = {
        // By address, by name although the port is another one, by path.
        node: [{ port: sockets["app.socket"].port, hostname: "127.0.0.1" }],
        native: [{ port: 0, name: "native" }, { path }],
        udp: [{ port: 0, name: "dns" }],
        raw: ["events"],
      };
      const web = { host: "127.0.0.1", port: sockets["app.socket"].port };
      const native = { host: "::1", port: sockets.native.port };
      const everywhere = () =>
        Promise.all([
          askOnce("http", web),
          askOnce("http", native),
          askOnce("http", { path }),
          askUdp(sockets.dns.port),
        ]);
      const early = Promise.all([web, native, { path }].map((target) => askOnce("http", target)));
      const chain = start(t, runtime, sockets, config);

      const first = await chain.event("ready", 1);
      assert.deepEqual(await early, ["1", "1", "1"], "what came before the start is served");
      assert.deepEqual(await everywhere(), ["1", "1", "1", "1"]);
      assert.deepEqual(first["listening"], [], "the variables are gone");
      assert.deepEqual(first["raw"], { events: "socket" });
      assert.deepEqual(
        first["addresses"].map(({ port, path }: { port?: number; path?: string }) => port ?? path),
        [web.port, native.port, path, sockets.dns.port],
      );
      assert.equal(first["warnings"].length, 1, first["warnings"].join());
      assert.match(first["warnings"][0], /nobody claimed "spare" \(tcp 127\.0\.0\.1:\d+\)/);
      for (const name of ["app.socket", "native", "local", "dns"] as const) {
        assert.ok(isNonBlocking(sockets[name].fd), `${name} blocks nobody's event loop`);
      }

      const askers = [web, native, { path }].map((target) => new Asker("http", target));
      try {
        for (const generation of [2, 3]) {
          const { pid } = await chain.event("ready", generation - 1);
          process.kill(pid, "SIGHUP");
          const next = await chain.event("ready", generation);
          assert.deepEqual(next["raw"], { events: "socket" });
          assert.deepEqual(next["warnings"], []);
          await chain.event("exit", generation - 1);
          await until(
            "all are answered by the successor",
            () =>
              askers.every(({ asked }) =>
                asked.lost.length > 0 || asked.answers.includes(`${generation}`)
              ),
            30_000,
          );
          await until("the parent has ended", () => !isRunning(pid), 30_000);
        }
      } finally {
        for (const asker of askers) {
          assert.deepEqual((await asker.stop()).lost, []);
        }
      }
      assert.deepEqual(await everywhere(), ["3", "3", "3", "3"]);

      const third = (await chain.event("ready", 3)).pid;
      process.kill(third, "SIGKILL");
      await until("it is gone", () => !isRunning(third), 30_000);
      const late = Promise.all([web, native, { path }].map((target) => askOnce("http", target)));
      const again = start(t, runtime, sockets, config);
      const { pid } = await again.event("ready", 1);
      assert.deepEqual(await late, ["1", "1", "1"], "what came in between is served");
      process.kill(pid, "SIGTERM");
      await again.event("drained", 1);
      await until("it has ended", () => !isRunning(pid), 30_000);
      assert.equal(lstatSync(path).ino, inode, "the path is the manager's");
    },
  );
}

test("variables that say something else end the start with what is wrong", {
  timeout: 120_000,
}, async (t) => {
  const runtime = runtimes.find(({ name }) => name === "node26")!;
  const socket = open(t, { type: "stream" });
  const config: ActivationConfig = { node: [{ port: 0, hostname: "127.0.0.1" }] };
  const fails = async (names: string, fds: string): Promise<string> => {
    const chain = start(
      t,
      {
        ...runtime,
        command: (path) => ["/usr/bin/env", names, fds, ...runtime.command(path)],
      },
      { web: socket },
      config,
    );
    return (await chain.event("error"))["message"];
  };
  assert.match(await fails("A=a", "LISTEN_FDS=two"), /LISTEN_FDS is "two", which is no number/);
  assert.match(
    await fails("A=a", "LISTEN_FDS=2"),
    /LISTEN_FDNAMES is "web", which has 1 names for 2/,
  );
  assert.match(
    await fails(`LISTEN_FDNAMES=${Array(900).fill("x").join(":")}`, "LISTEN_FDS=900"),
    /LISTEN_FDS counts descriptor \d+ \("x"\), which is not open/,
  );
});
