// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { openConnections } from "../../src/backend/connections.ts";
import type { Libc, SocketEnds, SocketName } from "../../src/backend/libc/libc.ts";
import type { NativeConnections } from "../../src/backend/native.ts";

/** A process with sockets: the part of the C library that is used. */
class FakeProcess {
  readonly sockets = new Map<number, SocketEnds | undefined>();
  readonly listening = new Set<number>();
  readonly shut: number[] = [];
  asked = 0;
  /** How long it takes to ask for one. */
  costMs = 0;

  connect(fd: number, place: number | string, port = fd): void {
    this.sockets.set(fd, { place, peer: { hostname: "::ffff:192.0.2.1", port } });
  }

  listenerAt(address: SocketName): NativeConnections {
    return openConnections(this as unknown as Libc, address);
  }

  openFds(): number[] {
    return [...this.sockets.keys()];
  }
  ends(fd: number): SocketEnds | undefined {
    this.asked += 1;
    const until = performance.now() + this.costMs;
    while (performance.now() < until);
    return this.sockets.get(fd);
  }
  isOpen(fd: number): boolean {
    return this.sockets.has(fd);
  }
  socket(fd: number): object {
    return { listening: this.listening.has(fd) };
  }
  shutdown(fd: number): void {
    this.shut.push(fd);
  }
}

const at = (port: number) => ({ hostname: "0.0.0.0", port });

test("a listener sees its own connections, and counts those that are over", async () => {
  const process = new FakeProcess();
  process.connect(10, 80);
  process.connect(11, 443);
  process.sockets.set(12, { place: "/run/app.sock", peer: { path: "" } });
  process.sockets.set(13, { place: 80, peer: null }); // over
  process.sockets.set(14, { place: 80, peer: null });
  process.listening.add(14);
  process.sockets.set(15, undefined); // no socket
  const seen = { open: [{ fd: 10, key: "192.0.2.1 10" }], over: 1 };
  assert.deepEqual(process.listenerAt(at(80)).now(), seen);
  assert.deepEqual(await process.listenerAt(at(80)).look(), seen);
  const { open } = await process.listenerAt({ path: "/run/app.sock" }).look();
  assert.deepEqual(open, [{ fd: 12, key: "descriptor 12" }]);
  assert.deepEqual(await process.listenerAt(at(81)).look(), { open: [], over: 0 });
});

test("hundreds of listeners that look at once ask for each descriptor once", async () => {
  const process = new FakeProcess();
  for (let fd = 10; fd < 310; fd++) process.connect(fd, fd);
  const listeners = [...process.sockets.keys()].map((port) => process.listenerAt(at(port)));
  const seen = await Promise.all(listeners.map((listener) => listener.look()));
  assert.ok(seen.every(({ open }) => open.length === 1));
  assert.equal(process.asked, 300);
  assert.ok(listeners.every((listener) => listener.now().open.length === 1));
  assert.equal(process.asked, 600);
});

test("the event loop turns while many descriptors are looked at, and who looks meanwhile sees what came since", async () => {
  const process = new FakeProcess();
  for (let fd = 10; fd < 210; fd++) process.connect(fd, 80);
  process.costMs = 0.1;
  const listener = process.listenerAt(at(80));
  const early = listener.look();
  await setImmediate();
  assert.ok(process.asked > 0 && process.asked < 200, `${process.asked} of 200 at once`);
  process.connect(9, 80);
  process.sockets.delete(209);
  process.costMs = 0;
  const late = listener.look();
  assert.deepEqual((await early).open.map(({ fd }) => fd).slice(-2), [207, 208]);
  const { open } = await late;
  assert.ok(open.some(({ fd }) => fd === 9));
  assert.equal(open.length, 200);
});

test("a connection is closed only while its number is its own", async () => {
  const process = new FakeProcess();
  process.connect(10, 80);
  process.connect(11, 80);
  process.connect(12, 80);
  const listener = process.listenerAt(at(80));
  const { open } = await listener.look();
  process.connect(10, 80, 5000); // of another client
  process.connect(11, 443); // of another listener
  for (const connection of open) listener.close(connection);
  assert.deepEqual(process.shut, [12]);
});
