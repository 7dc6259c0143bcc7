// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_FRAME_BYTES } from "../../src/protocol.ts";
import {
  endlessLine,
  fuzzFrames,
  fuzzInvitation,
  fuzzMadeUp,
  type FuzzTally,
} from "../support/protocol_fuzz.ts";

const SEED = 20261128;

/** It was really fed: enough was right, and enough was not. */
function isRight({ wrong, inputs, read, refused }: FuzzTally, least: number): void {
  assert.deepEqual(wrong, []);
  assert.ok(inputs >= least, `${inputs} inputs`);
  assert.ok(read > least / 20, `${read} were read`);
  assert.ok(refused > least / 20, `${refused} were refused`);
}

test(
  "a changed frame is read as what it is, or refused with ERR_PROTOCOL",
  { timeout: 60_000 },
  () => isRight(fuzzFrames(SEED, 8_000), 8_000),
);

test("a changed CHANGEOVER is read as what it is, or refused with ERR_PROTOCOL", {
  timeout: 60_000,
}, () => isRight(fuzzInvitation(SEED, 8_000), 8_000));

test("what nobody has thought of is refused with ERR_PROTOCOL", { timeout: 60_000 }, () => {
  const { wrong, inputs } = fuzzMadeUp(SEED, 4_000);
  assert.deepEqual(wrong, []);
  assert.ok(inputs >= 4_000);
});

test("a line that does not end is refused before it is longer than a frame may be", () => {
  for (const chunk of [1000, 65_536, MAX_FRAME_BYTES]) {
    const { held, code } = endlessLine(chunk);
    assert.equal(code, "ERR_PROTOCOL");
    assert.ok(held <= MAX_FRAME_BYTES, `${held} bytes were held`);
  }
});
