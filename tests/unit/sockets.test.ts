import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SocketEntry } from "../../src/protocol.ts";
import { SocketRegister, type UsedSocket } from "../../src/sockets.ts";

const WEB: SocketEntry = { fd: 4, kind: "tcp", identity: "web", address: "[::]:8080" };
const OLD: SocketEntry = { fd: 5, kind: "unix", identity: "unix:/a", address: "unix:/a" };
const LOG: SocketEntry = { fd: 6, kind: "raw", identity: "fd:log", address: "" };

function used(identity: string, fd: number): UsedSocket {
  return {
    identity,
    kind: "tcp",
    fd: () => fd,
    address: `127.0.0.1:${fd}`,
    bound: { kind: "tcp", hostname: "127.0.0.1", port: fd },
  };
}

describe("an inherited socket", () => {
  test("is claimed by its name, once", () => {
    const register = new SocketRegister([WEB]);
    assert.equal(register.claim("web", "tcp"), WEB);
    assert.throws(() => register.claim("web", "tcp"), { code: "ERR_ADDRESS" });
    register.use(used("web", 4));
    assert.throws(() => register.claim("web", "tcp"), /give the second one a name of its own/);
  });

  test("is not given out as another kind, and stays", () => {
    const register = new SocketRegister([WEB]);
    assert.throws(() => register.claim("web", "unix"), /passed a tcp socket .* not a unix one/);
    assert.equal(register.claim("web", "tcp"), WEB);
  });

  test("that could not be used is not inherited a second time", () => {
    const register = new SocketRegister([WEB]);
    register.claim("web", "tcp");
    register.release("web");
    // Whoever claimed it has closed it; the next one binds.
    assert.equal(register.claim("web", "tcp"), undefined);
  });

  test("that nobody claimed is closed once, and a claimed one is not", () => {
    const register = new SocketRegister([WEB, OLD, LOG]);
    register.claim("web", "tcp");
    const closed: number[] = [];
    register.closeUnclaimed((fd) => void closed.push(fd));
    register.closeUnclaimed((fd) => void closed.push(fd));
    assert.deepEqual(closed, [5, 6]);
    assert.equal(register.claim("unix:/a", "unix"), undefined);
  });

  test("that is a Unix socket nobody serves any more is told, so that its path can go", () => {
    const register = new SocketRegister([WEB, OLD, LOG]);
    assert.deepEqual(register.abandoned, []);
    register.closeUnclaimed(() => {});
    assert.deepEqual(register.abandoned, [OLD]);
  });

  test("is listed by kind as long as nobody claimed it", () => {
    const register = new SocketRegister([WEB, LOG]);
    assert.deepEqual(register.unclaimed("raw"), ["fd:log"]);
    assert.deepEqual(register.unclaimed("tcp"), ["web"]);
    register.claim("fd:log", "raw");
    assert.deepEqual(register.unclaimed("raw"), []);
  });
});

describe("a used socket", () => {
  test("that was not inherited has no entry, and its name is taken", () => {
    const register = new SocketRegister();
    assert.equal(register.claim("web", "tcp"), undefined);
    assert.throws(() => register.claim("web", "tcp"), { code: "ERR_ADDRESS" });
  });

  test("is passed on in the order of claims, from descriptor 4 on", () => {
    const register = new SocketRegister();
    register.use(used("b", 31));
    register.use(used("a", 12));
    register.use({ identity: "fd:log", kind: "raw", fd: () => 9, address: "" });
    assert.deepEqual(register.passOn(), {
      fds: [31, 12, 9],
      entries: [
        { fd: 4, kind: "tcp", identity: "b", address: "127.0.0.1:31" },
        { fd: 5, kind: "tcp", identity: "a", address: "127.0.0.1:12" },
        { fd: 6, kind: "raw", identity: "fd:log", address: "" },
      ],
    });
  });

  test("is passed on by the descriptor that it has then", () => {
    const register = new SocketRegister();
    let fd = 20;
    register.use({ identity: "web", kind: "tcp", fd: () => fd, address: ":1" });
    fd = 21;
    assert.deepEqual(register.passOn().fds, [21]);
  });

  test("shows its address and its name, raw descriptors none", () => {
    const register = new SocketRegister();
    register.use(used("web", 80));
    register.use({ identity: "fd:log", kind: "raw", fd: () => 9, address: "" });
    assert.deepEqual(register.addresses, [
      { name: "web", kind: "tcp", hostname: "127.0.0.1", port: 80 },
    ]);
    assert.deepEqual(register.used.map(({ identity }) => identity), ["web", "fd:log"]);
  });
});
