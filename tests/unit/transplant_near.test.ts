// Runs on: deno, bun
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import type { Libc } from "../../src/backend/libc/libc.ts";
import { loadLibc } from "../../src/backend/libc/load.ts";
import { findNear, snapshot } from "../../src/backend/transplant.ts";

const result = loadLibc();
const libc = "libc" in result && result.libc.os === "linux" ? result.libc : undefined;
const skip = libc === undefined ? "sockets are placed on Linux only" : false;

async function open(): Promise<net.Server> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const portOf = (server: net.Server) => (server.address() as net.AddressInfo).port;

test("a new server is found without asking for every socket that is open", { skip }, async () => {
  let asked = 0;
  const counting: Libc = {
    ...libc!,
    inode(fd) {
      asked++;
      return libc!.inode(fd);
    },
  };
  const servers: net.Server[] = [];
  try {
    for (let n = 0; n < 100; n++) servers.push(await open());
    const before = snapshot(counting);
    asked = 0;
    const server = await open();
    servers.push(server);
    const found = findNear(counting, before, { type: "stream", told: portOf(server) });
    assert.equal(
      found && "port" in found.socket.address && found.socket.address.port,
      portOf(server),
    );
    assert.ok(asked < 20, `${asked} questions`);
  } finally {
    for (const server of servers) server.close();
  }
});

test("a server that was there before, and one that tells no port, are looked for elsewhere", {
  skip,
}, async () => {
  const old = await open();
  const before = snapshot(libc!);
  const server = await open();
  try {
    assert.equal(findNear(libc!, before, { type: "stream", told: portOf(old) }), undefined);
    assert.equal(findNear(libc!, before, { type: "stream" }), undefined);
    assert.equal(findNear(libc!, before, { type: "datagram", told: portOf(server) }), undefined);
  } finally {
    old.close();
    server.close();
  }
});
