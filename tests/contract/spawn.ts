/**
 * Promises about starting a child: what it gets, how its end is told, why it could not be started.
 *
 * @module
 */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SpawnRequest } from "../../src/backend/backend.ts";
import { CHANNEL_FD, FIRST_SOCKET_FD } from "../../src/protocol.ts";
import { Peer } from "./peer.ts";
import { refusal } from "./refusal.ts";
import { type Clause, turns, until, type World } from "./world.ts";

/** Some listening sockets of this process. */
async function sockets(world: World, count: number): Promise<number[]> {
  const address = { kind: "tcp", hostname: "127.0.0.1", port: 0 } as const;
  const fds: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const listener = await world.kinds[0]!.listen(world.backend, { address }, () => {});
    world.after(() => {
      listener.close();
      listener.finish();
    });
    fds.push(listener.fd);
  }
  return fds;
}

function refused(world: World, request: Partial<SpawnRequest>): Promise<string> {
  return refusal(Peer.start(world, request), "ERR_SPAWN");
}

/** Spawn. */
export const spawnClauses: readonly Clause[] = [
  {
    title: "a child finds the channel on 3, the given descriptors from 4 on in order, and no other",
    async run(world) {
      const own = await sockets(world, 3);
      const file = world.openFile();
      const ours = world.descriptors();
      const given = [own[2]!, file, own[0]!];
      const child = await Peer.start(world, { fds: given });
      const theirs = new Map<number, string>(await child.ask("descriptors"));
      assert.ok(theirs.has(CHANNEL_FD));
      assert.deepEqual(
        given.map((_, index) => theirs.get(FIRST_SOCKET_FD + index)),
        given.map((fd) => ours.get(fd)),
      );
      const left = ours.get(own[1]!)!;
      assert.ok(
        ![...theirs.values()].includes(left),
        "a socket that was not passed on is not there",
      );
    },
  },
  {
    title: "fifty descriptors arrive in their order",
    async run(world) {
      const given = await sockets(world, 50);
      const ours = world.descriptors();
      const child = await Peer.start(world, { fds: given });
      const theirs = new Map<number, string>(await child.ask("descriptors"));
      assert.deepEqual(
        given.map((_, index) => theirs.get(FIRST_SOCKET_FD + index)),
        given.map((fd) => ours.get(fd)),
      );
    },
  },
  {
    title: "the environment is exactly what was given, and the working directory, too",
    async run(world) {
      const env = { PATH: world.env["PATH"]!, CONTRACT_TEXT: " a=b\n\u00e4 " };
      const child = await Peer.start(world, { env });
      const facts = await child.ask("facts");
      assert.deepEqual(facts.env, env);
      assert.equal(facts.cwd, world.folder);
    },
  },
  {
    title: "an exit code and a signal are told, once each, also to whoever asks late",
    async run(world) {
      for (const code of [0, 7]) {
        const child = await Peer.start(world);
        child.tell("exit", code);
        assert.deepEqual(await child.status, { code, signal: null });
        await turns();
        assert.equal(child.statuses.length, 1);
        const late = new Promise((resolve) => child.process.onExit(resolve));
        assert.deepEqual(await late, { code, signal: null });
      }
      const child = await Peer.start(world);
      await child.ask("facts");
      child.process.kill("SIGTERM");
      child.process.kill("SIGKILL");
      const status = await child.status;
      assert.equal(status.code, null);
      assert.match(status.signal!, /^SIG(?:TERM|KILL)$/);
      child.process.kill("SIGKILL"); // there is nobody left, which is no error
      await turns();
      assert.equal(child.statuses.length, 1);
    },
  },
  {
    title: "a second signal reaches a child that caught the first one",
    async run(world) {
      const child = await Peer.start(world);
      await child.ask("catch", "SIGTERM");
      child.process.kill("SIGTERM");
      assert.deepEqual(await child.next(), { caught: 1 });
      child.process.kill("SIGKILL");
      assert.deepEqual(await child.status, { code: null, signal: "SIGKILL" });
    },
  },
  {
    title: "a child keeps its parent alive as long as it lives",
    async run(world) {
      const parent = await Peer.start(world);
      const pid = await parent.ask("spawn", world.env);
      await world.endIdle(parent.process.pid);
      assert.equal(world.backend.kill(pid, "SIGKILL"), true);
      assert.deepEqual(await parent.next(), { status: { code: null, signal: "SIGKILL" } });
      await world.endIdle(parent.process.pid);
      assert.deepEqual(await parent.status, { code: 0, signal: null });
    },
  },
  {
    title: "after keepAlive(false) a child does not keep its parent alive",
    async run(world) {
      const { backend } = world;
      const parent = await Peer.start(world);
      const first = JSON.stringify(["stay"]);
      const pid = await parent.ask("spawn", { ...world.env, CONTRACT_FIRST: first });
      world.after(async () => {
        backend.kill(pid, "SIGKILL");
        await until(() => !backend.isAlive(pid), "the child of the child ends");
      });
      parent.tell("letPeerGo");
      await world.endIdle(parent.process.pid);
      assert.deepEqual(await parent.status, { code: 0, signal: null });
      assert.equal(backend.isAlive(pid), true);
    },
  },
  {
    title: "a program that does not exist is refused by name",
    async run(world) {
      const path = join(world.folder, "missing");
      assert.match(await refused(world, { command: [path] }), /missing.*no such file/);
      assert.match(
        await refused(world, { command: ["missing-program"] }),
        /missing-program.*no such/,
      );
    },
  },
  {
    title: "a file that may not be executed is refused by name",
    async run(world) {
      const path = join(world.folder, "plain");
      writeFileSync(path, "#!/bin/sh\n", { mode: 0o644 });
      assert.match(await refused(world, { command: [path] }), /plain.*may not be executed/);
    },
  },
  {
    title: "a working directory that does not exist is refused by name, not taken for the program",
    async run(world) {
      const cwd = join(world.folder, "nowhere");
      assert.match(await refused(world, { cwd }), /nowhere.*does not exist/);
    },
  },
  {
    title: "a descriptor that is not open is refused, and nothing is started",
    async run(world) {
      // Not one that was closed just now: the channel could get its number.
      assert.match(await refused(world, { fds: [99_999] }), /descriptor.* 99999 is not open/);
    },
  },
];
