// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzControl } from "../support/control_fuzz.ts";
import { control } from "../support/control_client.ts";
import { openControl } from "../support/control_socket.ts";

test(
  "garbage is answered in order or not at all, and what is right is answered all the while",
  { timeout: 120_000 },
  async (t) => {
    const { socket, path, clock } = openControl(t, { upgrades: "refused" });
    const { wrong, statuses, silent, connections } = await fuzzControl(path, 20261128, 600);
    assert.deepEqual(wrong, []);
    assert.equal(connections, 600);
    // It was really fed: what is refused is refused for many reasons.
    for (const status of [200, 202, 400, 404, 405, 409, 411, 413, 417, 431, 505]) {
      assert.ok(
        (statuses[status] ?? 0) > 0,
        `nobody was answered ${status}: ${JSON.stringify(statuses)}`,
      );
    }
    assert.ok(silent < connections / 2, `${silent} were not answered`);
    assert.equal((await control(path, "GET", "/status")).status, 200);
    socket.leave();
    await clock.advance(0);
    // Nobody is left, without any time passing.
    await socket.left;
  },
);
