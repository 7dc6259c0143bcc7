import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import {
  formatAddress,
  identityOf,
  parseAddress,
  parseBoundAddress,
  parseDatagramAddress,
  sameBound,
} from "../../src/address.ts";
import { createStub, fakeBackend, fakeParent } from "../../src/testing/mod.ts";
import { Upgrader } from "../../src/upgrader.ts";
import { FakeServer, joining, refused, serving } from "../support/fake_app.ts";

class FakeSocket extends EventTarget {
  bind(): void {}
  close(): void {}
}

describe("the address of a UDP socket", () => {
  test("is written like any other, and is not that of TCP on the same port", () => {
    const addresses = [5353, ":5353", "127.0.0.1:5353", "[::1]:5353", { port: 5353 }];
    for (const input of addresses) {
      const [udp, tcp] = [parseDatagramAddress(input), parseAddress(input)];
      assert.equal(udp.kind, "udp");
      assert.equal(formatAddress(udp), formatAddress(tcp));
      assert.notEqual(identityOf(udp), identityOf(tcp));
    }
    assert.equal(identityOf(parseDatagramAddress(5353)), "udp:*:5353");
    assert.equal(identityOf(parseDatagramAddress({ port: 0, name: "dns" })), "dns");
  });

  test("is no path", () => {
    assert.throws(() => parseDatagramAddress("unix:/run/app.sock"), {
      code: "ERR_ADDRESS",
      message: "Cannot bind unix:/run/app.sock: only UDP is supported for datagrams, give a port",
    });
    assert.throws(() => parseDatagramAddress({ path: "/run/app.sock" }), { code: "ERR_ADDRESS" });
  });

  test("is read back as what it was announced as", () => {
    const udp = parseBoundAddress("[::]:53", "udp");
    assert.deepEqual(udp, { kind: "udp", hostname: "::", port: 53 });
    assert.equal(sameBound(udp, parseBoundAddress("[::]:53")), false);
    assert.equal(sameBound(udp, parseBoundAddress("[0::0]:53", "udp")), true);
    assert.throws(() => parseBoundAddress("[::]:53", "unix"), { code: "ERR_ADDRESS" });
  });
});

describe("bind", () => {
  test("returns the socket, and what a start function returned", async () => {
    const { fake, upgrader } = await serving();
    const socket = new FakeSocket();
    assert.equal(await upgrader.bind(5353, socket), socket);
    const started = { send() {} };
    assert.equal(await upgrader.bind("127.0.0.1:5354", () => started), started);
    assert.deepEqual(upgrader.addresses.slice(1), [
      { name: "udp:*:5353", kind: "udp", hostname: "::", port: 5353 },
      { name: "udp:127.0.0.1:5354", kind: "udp", hostname: "127.0.0.1", port: 5354 },
    ]);
    assert.deepEqual(fake.descriptors.slice(1), ["4 udp [::]:5353", "5 udp 127.0.0.1:5354"]);
  });

  test("goes with listen on the same port, and is refused with ERR_ADDRESS where UDP is in use", async () => {
    const { upgrader } = await serving();
    await upgrader.listen(5353, new FakeServer());
    await upgrader.bind(5353, new FakeSocket());
    await refused(upgrader.bind(5353, new FakeSocket()), "ERR_ADDRESS");
    await refused(upgrader.bind({ port: 5353, name: "b" }, new FakeSocket()), "ERR_ADDRESS");
  });

  test("refuses what is no socket with a TypeError, and a path with ERR_ADDRESS", async () => {
    const { upgrader } = await serving();
    for (const wrong of [undefined, null, {}, "udp4", { bind() {} }, new FakeServer()]) {
      await assert.rejects(upgrader.bind(5353, wrong as never), TypeError);
    }
    await refused(upgrader.bind("unix:/run/app.sock", new FakeSocket()), "ERR_ADDRESS");
  });

  test("gives the successor the socket under the same name, which receives from ready on", async () => {
    const socket = { identity: "dns", kind: "udp", address: "127.0.0.1:53" } as const;
    const { fake, parent, upgrader } = await joining({}, { sockets: [socket] });
    await upgrader.bind({ port: 53, hostname: "127.0.0.1", name: "dns" }, new FakeSocket());
    const listener = fake.listeners.at(-1);
    assert.deepEqual([listener?.inherited, listener?.state], [true, "paused"]);
    void upgrader.ready();
    await fake.settle();
    assert.equal(listener?.state, "open");
    await parent.commit();
    assert.equal(upgrader.status().connections, 0);
  });

  test("does not give a TCP socket out as a UDP one", async () => {
    const parent = fakeParent({ sockets: [{ identity: "dns", address: "127.0.0.1:53" }] });
    const upgrader = await Upgrader.create({ backend: parent.child.backend, logger: false });
    const binding = upgrader.bind({ port: 53, name: "dns" }, new FakeSocket());
    await assert.rejects(binding, /passed a tcp socket under this name, not a udp one/);
  });

  test("announces the socket to a child as one of UDP", async () => {
    const fake = fakeBackend();
    const upgrader = await Upgrader.create({ backend: fake.backend, logger: false });
    await upgrader.bind("127.0.0.1:53", new FakeSocket());
    await upgrader.ready();
    const upgrade = upgrader.upgrade().catch((error) => error.code);
    const child = await fake.child();
    assert.deepEqual(child.frames.flatMap((frame) => frame.type === "hello" ? frame.sockets : []), [
      { fd: 4, kind: "udp", identity: "udp:127.0.0.1:53", address: "127.0.0.1:53" },
    ]);
    await child.exit(1);
    assert.equal(await upgrade, "ERR_CHILD_EXITED");
  });

  test("of the stub receives, and can answer until the drain is over", async () => {
    const stub = await createStub({ logger: false });
    const socket = createSocket("udp4");
    await stub.bind("127.0.0.1:0", socket);
    const [address] = stub.addresses;
    assert.ok(address?.kind === "udp" && address.port > 0);
    await stub.ready();
    const client = createSocket("udp4");
    const asked = once(socket, "message");
    client.send("?", address.port, "127.0.0.1");
    const [, from] = await asked;
    stub.stop();
    const answered = once(client, "message");
    socket.send("!", from.port, from.address);
    assert.equal(String((await answered)[0]), "!");
    client.close();
    const closed = once(socket, "close");
    await stub.drain();
    await closed;
  });
});
