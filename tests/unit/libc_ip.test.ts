import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp } from "../../src/backend/libc/ip.ts";

const cases: readonly (readonly [hex: string, text: string])[] = [
  ["7f000001", "127.0.0.1"],
  ["00000000", "0.0.0.0"],
  ["00000000000000000000000000000000", "::"],
  ["00000000000000000000000000000001", "::1"],
  ["00000000000000000000ffff7f000001", "::ffff:127.0.0.1"],
  ["20010db8000000000000000000000001", "2001:db8::1"],
  ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
  ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
  ["fe800000000000000000000000000000", "fe80::"],
  ["00010002000300040005000600070008", "1:2:3:4:5:6:7:8"],
];

for (const [hex, text] of cases) {
  test(`formatIp() prints ${text} when the bytes are ${hex}`, () => {
    assert.equal(
      formatIp(Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16))),
      text,
    );
  });
}
