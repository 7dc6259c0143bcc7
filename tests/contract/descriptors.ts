/**
 * Promises about descriptors.
 *
 * @module
 */

import assert from "node:assert/strict";
import { CHANNEL_FD, FIRST_SOCKET_FD } from "../../src/protocol.ts";
import { Peer } from "./peer.ts";
import type { Clause, World } from "./world.ts";

async function socket(world: World): Promise<number> {
  const address = { kind: "tcp", hostname: "127.0.0.1", port: 0 } as const;
  const listener = await world.kinds[0]!.listen(world.backend, { address }, () => {});
  world.after(() => {
    listener.close();
    listener.finish();
  });
  return listener.fd;
}

/** Descriptors. */
export const descriptorClauses: readonly Clause[] = [
  {
    title: "isSocket() tells a socket from a file and from a closed descriptor",
    async run(world) {
      const { backend } = world;
      const file = world.openFile();
      assert.equal(backend.isSocket(await socket(world)), true);
      assert.equal(backend.isSocket(file), false);
      backend.closeFd(file);
      assert.equal(backend.isSocket(file), false);
      assert.equal(backend.isSocket(99_999), false);
    },
  },
  {
    title: "mayBeChannel() tells a channel from a listening socket, a file and a closed descriptor",
    async run(world) {
      const { backend } = world;
      assert.equal(backend.mayBeChannel(await socket(world)), false);
      assert.equal(backend.mayBeChannel(world.openFile()), false);
      assert.equal(backend.mayBeChannel(99_999), false);
      const child = await Peer.start(world);
      assert.equal(await child.ask("mayBeChannel", CHANNEL_FD), true);
    },
  },
  {
    title: "boundAt() tells where a listening socket is bound, and of anything else nothing",
    async run(world) {
      const { backend } = world;
      const fd = await socket(world);
      const bound = await backend.boundAt(fd);
      assert.equal(bound?.kind === "tcp" && bound.hostname, "127.0.0.1");
      assert.equal(await backend.boundAt(world.openFile()), undefined);
      assert.equal(await backend.boundAt(99_999), undefined);
    },
  },
  {
    title: "closeFd() closes a descriptor, and one that is closed is left alone",
    run(world) {
      const { backend } = world;
      const [file, other] = [world.openFile(), world.openFile()];
      backend.closeFd(file);
      backend.closeFd(file);
      backend.closeFd(99_999);
      assert.equal(world.descriptors().has(file), false);
      assert.equal(world.descriptors().has(other), true);
      return Promise.resolve();
    },
  },
  {
    title: "secure() says whether an inherited descriptor is open",
    async run(world) {
      const child = await Peer.start(world, { fds: [await socket(world), world.openFile()] });
      const last = FIRST_SOCKET_FD + 1;
      assert.deepEqual(await child.ask("secure", [FIRST_SOCKET_FD, 99_999]), [true, false]);
      await child.ask("closeFd", last);
      const theirs = new Map<number, string>(await child.ask("descriptors"));
      assert.equal(theirs.has(FIRST_SOCKET_FD), true);
      if (!theirs.has(last)) assert.deepEqual(await child.ask("secure", [last]), [false]);
    },
  },
  {
    title: "closeFd() closes an inherited socket: nothing of it is left in the child",
    async run(world) {
      const fd = await socket(world);
      const what = world.descriptors().get(fd);
      const child = await Peer.start(world, { fds: [fd] });
      await child.ask("secure", [FIRST_SOCKET_FD]);
      await child.ask("closeFd", FIRST_SOCKET_FD);
      const theirs = new Map<number, string>(await child.ask("descriptors"));
      assert.ok(![...theirs.values()].includes(what!));
      assert.equal(world.backend.isSocket(fd), true, "the parent's is open still");
    },
  },
  {
    title: "sockets that were passed on stay non-blocking here and are so in the child, secured",
    needs: ["flags"],
    async run(world) {
      const fds = [await socket(world), await socket(world)];
      const child = await Peer.start(world, { fds });
      const passed = fds.map((_, index) => FIRST_SOCKET_FD + index);
      for (const fd of fds) assert.equal(world.flags(fd).nonBlocking, true);
      assert.deepEqual(await child.ask("secure", passed), [true, true]);
      const secured = { nonBlocking: true, closeOnExec: true };
      assert.deepEqual(await child.ask("flags", passed), [secured, secured]);
      for (const fd of fds) assert.deepEqual(world.flags(fd), secured);
    },
  },
];
