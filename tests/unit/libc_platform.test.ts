import assert from "node:assert/strict";
import { test } from "node:test";
import { platform } from "../../src/backend/libc/platform.ts";

test("platform() packs struct epoll_event when the machine is x86-64 only", () => {
  assert.deepEqual(platform("linux", "x64")?.layout.epollEvent, { size: 12, data: 4 });
  assert.deepEqual(platform("linux", "arm64")?.layout.epollEvent, { size: 16, data: 8 });
});

test("platform() moves fcntl's third argument to the stack when it is Apple's arm64", () => {
  assert.equal(platform("darwin", "arm64")?.prototypes.fcntl?.parameters.length, 9);
  assert.equal(platform("darwin", "x64")?.prototypes.fcntl?.parameters.length, 3);
  assert.equal(platform("linux", "arm64")?.prototypes.fcntl?.parameters.length, 3);
});

test("platform() has no epoll when it is not Linux", () => {
  assert.equal(platform("darwin", "arm64")?.prototypes.epollCtl, undefined);
});

test("platform() is undefined when nobody described the machine", () => {
  assert.equal(platform("win32", "x64"), undefined);
  assert.equal(platform("linux", "riscv64"), undefined);
});
