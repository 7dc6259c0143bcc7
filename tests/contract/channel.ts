/**
 * Promises about the channel, at both of its ends.
 *
 * @module
 */

import assert from "node:assert/strict";
import { FIRST } from "./child.ts";
import { Peer } from "./peer.ts";
import { type Clause, pattern, turns, type World } from "./world.ts";

// More than the buffers of a socket pair hold.
const MUCH = 1 << 20;

function startWith(world: World, ...first: readonly unknown[]): Promise<Peer> {
  return Peer.start(world, { env: { ...world.env, [FIRST]: JSON.stringify(first) } });
}

function sockets(world: World): number {
  return [...world.descriptors().keys()].filter((fd) => world.backend.isSocket(fd)).length;
}

function assertSame(bytes: Uint8Array, wanted: Uint8Array): void {
  assert.equal(bytes.length, wanted.length);
  assert.ok(bytes.every((byte, index) => byte === wanted[index]), "the same bytes in this order");
}

/** The channel. */
export const channelClauses: readonly Clause[] = [
  {
    title: "a megabyte in pieces of all sizes goes there and comes back in order",
    async run(world) {
      const child = await Peer.start(world);
      const bytes = pattern(MUCH);
      child.tell("echo", MUCH);
      for (let at = 0, size = 1; at < MUCH; at += size, size = (size * 3) % 150_001) {
        child.write(bytes.subarray(at, Math.min(at + size, MUCH)));
      }
      assertSame(await child.inbox.take(MUCH), bytes);
    },
  },
  {
    title: "bytes that were written may be overwritten by their owner at once",
    async run(world) {
      const child = await Peer.start(world);
      child.tell("echo", 5);
      const bytes = new TextEncoder().encode("first");
      child.write(bytes);
      const echoed = child.inbox.take(5);
      assert.equal(new TextDecoder().decode(await echoed), "first");
      assert.equal(child.inbox.ends, 0);
    },
  },
  {
    title: "what arrives before there is a receiver waits for it",
    async run(world) {
      const child = await startWith(world, "dawdle");
      child.tell("echo", MUCH);
      child.write(pattern(MUCH));
      assertSame(await child.inbox.take(MUCH), pattern(MUCH));
    },
  },
  {
    title: "what a child said before it ended arrives before the end, which is told once",
    async run(world) {
      const child = await startWith(world, "sendAndClose", MUCH);
      assertSame(await child.inbox.rest(), pattern(MUCH));
      await world.endIdle(child.process.pid);
      assert.deepEqual(await child.status, { code: 0, signal: null });
      child.process.channel.close();
      child.process.channel.close();
      await turns();
      assert.equal(child.inbox.ends, 1);
    },
  },
  {
    title: "close() sends what is queued; the end is told once to both sides",
    async run(world) {
      const child = await Peer.start(world);
      child.tell("expect", MUCH);
      child.write(pattern(MUCH));
      child.process.channel.close();
      assert.deepEqual(await child.status, { code: 0, signal: null });
      assert.equal((await child.inbox.rest()).length, 0);
      await turns();
      assert.equal(child.inbox.ends, 1);
    },
  },
  {
    title: "close() gives the descriptor back, and nothing is sent after it",
    async run(world) {
      const before = sockets(world);
      const child = await Peer.start(world);
      await child.ask("facts");
      assert.equal(sockets(world), before + 1);
      child.tell("expect", 0);
      const { channel } = child.process;
      channel.close();
      assert.doesNotThrow(() => channel.write(pattern(10)));
      await child.inbox.rest();
      assert.equal((await child.status).code, 0);
      assert.equal(sockets(world), before);
    },
  },
  {
    title: "writing to a child that is gone is not an error",
    async run(world) {
      const child = await Peer.start(world);
      await child.ask("facts");
      child.process.kill("SIGKILL");
      child.write(pattern(MUCH));
      await child.status;
      child.write(pattern(MUCH));
      child.process.channel.writeSync(pattern(10));
      await child.inbox.rest();
      child.write(pattern(10));
      await turns();
      assert.equal(child.inbox.ends, 1);
    },
  },
  {
    title: "writeSync() has written when it returns, after what was written before",
    async run(world) {
      const child = await startWith(world, "lastWords", ["first, ", "last"]);
      assert.equal(new TextDecoder().decode(await child.inbox.rest()), "first, last");
      assert.deepEqual(await child.status, { code: null, signal: "SIGKILL" });
    },
  },
  {
    title: "an open channel keeps the process alive, a closed one does not",
    async run(world) {
      const child = await Peer.start(world);
      await child.ask("facts");
      await world.endIdle(child.process.pid);
      assert.equal((await child.ask("facts")).pid, child.process.pid);
      child.tell("close");
      await world.endIdle(child.process.pid);
      assert.deepEqual(await child.status, { code: 0, signal: null });
    },
  },
];
