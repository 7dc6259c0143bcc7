import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFdinfo } from "../../src/backend/libc/registrations.ts";

test("parseFdinfo() reads all registrations when the kernel prints inodes in hexadecimal", () => {
  const text = [
    "pos:\t0",
    "flags:\t02000002",
    "mnt_id:\t15",
    "ino:\t2061",
    "tfd:        5 events:       19 data:      5f45fbf9100  pos:0 ino:ab12 sdev:8",
    "tfd:       21 events: 8000201d data: ffffffffffffffff  pos:0 ino:1f sdev:8",
    "",
  ].join("\n");
  assert.deepEqual(parseFdinfo(text, 3), [
    { epoll: 3, fd: 5, inode: 0xab12, events: 0x19, data: 0x5f45fbf9100n },
    { epoll: 3, fd: 21, inode: 0x1f, events: 0x8000201d, data: 0xffffffffffffffffn },
  ]);
});

test("parseFdinfo() finds nothing when the descriptor is no epoll instance", () => {
  assert.deepEqual(parseFdinfo("pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t3\n", 3), []);
});
