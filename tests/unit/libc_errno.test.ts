import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { createLibc } from "../../src/backend/libc/calls.ts";
import type { Libc } from "../../src/backend/libc/libc.ts";
import { type Platform, platform, type Symbols } from "../../src/backend/libc/platform.ts";

const EPOLL = "anon_inode:[eventpoll]";

/** A process with a file, an epoll instance and a socket, in which something else always comes between and fails. */
function disturbed(): Libc {
  const links: Readonly<Record<number, string>> = { 3: "/dev/null", 4: EPOLL, 5: "socket:[1]" };
  let errno = constants.errno.EBADF;
  const fail = () => -1;
  const symbols = {
    errnoLocation: () => 1,
    memcpy(to: Uint8Array) {
      new DataView(to.buffer).setInt32(0, errno, true);
      return 0;
    },
    fcntl: (fd: number) => links[fd] === undefined ? fail() : 0,
    getsockopt(fd: number, _level: number, _name: number, value: Uint8Array) {
      if (links[fd]?.startsWith("socket") !== true) return fail();
      new DataView(value.buffer).setInt32(0, 1, true);
      return 0;
    },
    readlink(path: Uint8Array, to: Uint8Array) {
      const fd = Number(/\d+/.exec(new TextDecoder().decode(path))?.[0]);
      return new TextEncoder().encodeInto(links[fd] ?? "", to).written;
    },
  };
  const libc = createLibc(symbols as unknown as Symbols, platform("linux", "x64") as Platform);
  errno = constants.errno.EAGAIN;
  return libc;
}

test("what is no socket, not open, or an epoll instance is known whatever errno says", () => {
  const libc = disturbed();
  assert.equal(libc.socket(3), undefined);
  assert.equal(libc.socket(4), undefined);
  assert.throws(() => libc.socket(9), { errno: "EBADF" });
  assert.deepEqual([3, 4, 5, 9].map((fd) => libc.isOpen(fd)), [true, true, true, false]);
  assert.deepEqual(libc.epollFds([3, 4, 5, 9]), [4]);
});
