import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type HandingOver,
  type HandOverOptions,
  Offers,
  type ProduceState,
  Receiving,
  stateName,
  WINDOW_BYTES,
} from "../../src/hand_over.ts";
import type { Failure } from "../../src/machine.ts";
import type { Frame } from "../../src/protocol.ts";

/** Both sides of a hand-over, joined by frames that arrive a turn later. */
function joined(offers: Offers) {
  const failures: Failure[] = [];
  const warnings: string[] = [];
  let sent = 0;
  let consumed = 0;
  let ahead = 0;
  const later = (deliver: () => void) => void Promise.resolve().then(deliver);
  const parent: HandingOver = offers.begin({
    send: (frame) => {
      if (frame.type === "chunk") {
        sent += atob(frame.data).length;
        ahead = Math.max(ahead, sent - consumed);
      }
      if (frame.type === "chunk" || frame.type === "end") later(() => child.heard(frame));
    },
    fail: (failure) => failures.push(failure),
    warn: (message) => warnings.push(message),
  });
  const child = new Receiving(offers.names, (frame: Frame) => {
    if (frame.type === "more") consumed += frame.bytes;
    if (frame.type === "take" || frame.type === "more") later(() => parent.heard(frame));
  });
  return { parent, child, failures, warnings, ahead: () => ahead };
}

function offering(produce: ProduceState, options: HandOverOptions = {}, name = "state"): Offers {
  const offers = new Offers();
  offers.add(name, produce, options);
  return offers;
}

const turns = async (count = 20) => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
};

describe("state", () => {
  const text = "grüße ".repeat(100_000);
  const bytes = new TextEncoder().encode(text);
  const sources: Readonly<Record<string, ProduceState>> = {
    "bytes": () => bytes,
    "text": () => text,
    "a promise of text": () => Promise.resolve(text),
    "an async iterable of both": async function* () {
      yield text.slice(0, 10);
      await turns(1);
      yield new TextEncoder().encode(text.slice(10));
    },
    "a stream": () => new Blob([text]).stream(),
  };
  for (const [what, produce] of Object.entries(sources)) {
    test(`that is ${what} arrives whole`, async () => {
      const { child, parent, failures } = joined(offering(produce as ProduceState));
      assert.deepEqual(await child.take("state")?.bytes(), bytes);
      assert.equal(parent.bytes, bytes.length);
      assert.deepEqual(failures, []);
    });
  }

  test("can be read as text, as JSON and piece by piece", async () => {
    const offers = offering(() => '{"a":[1,"ü"]}');
    offers.add("again", () => '{"a":[1,"ü"]}', {});
    offers.add("empty", () => "", {});
    const { child } = joined(offers);
    assert.deepEqual(await child.take("state")?.json(), { a: [1, "ü"] });
    let pieces = "";
    for await (const piece of child.take("again")!) pieces += new TextDecoder().decode(piece);
    assert.equal(pieces, '{"a":[1,"ü"]}');
    assert.equal(await child.take("empty")?.text(), "");
  });

  test("that the parent does not offer, or that was taken already, is undefined", async () => {
    let produced = 0;
    const { child } = joined(offering(() => `${++produced}`));
    assert.equal(child.take("other"), undefined);
    assert.equal(await child.take("state")?.text(), "1");
    assert.equal(child.take("state"), undefined);
  });

  test("that nobody takes is never produced", async () => {
    let produced = 0;
    joined(offering(() => `${++produced}`));
    await turns();
    assert.equal(produced, 0);
  });

  test("travels at the pace of the receiver, at most a window ahead", async () => {
    let yielded = 0;
    const { child, ahead } = joined(offering(async function* () {
      for (let part = 0; part < 64; part++) {
        yielded += 256 * 1024;
        yield new Uint8Array(256 * 1024).fill(part);
      }
    }));
    const stream = child.take("state")!;
    await turns();
    assert.ok(yielded <= WINDOW_BYTES + 512 * 1024, `${yielded} bytes were asked for`);
    const whole = await stream.bytes();
    assert.equal(whole.length, 64 * 256 * 1024);
    assert.equal(whole.at(-1), 63);
    assert.ok(ahead() <= WINDOW_BYTES + 192 * 1024, `${ahead()} bytes ahead`);
  });

  test("of a producer that throws fails the upgrade with ERR_ABORTED and its message", async () => {
    for (
      const produce of [
        () => {
          throw new Error("no cache");
        },
        () => Promise.reject(new Error("no cache")),
        // deno-lint-ignore require-yield
        async function* () {
          throw new Error("no cache");
        },
      ] as ProduceState[]
    ) {
      const { child, failures } = joined(offering(produce));
      child.take("state");
      await turns();
      assert.deepEqual(failures, [
        { code: "ERR_ABORTED", message: 'Cannot hand over "state": no cache' },
      ]);
    }
  });

  test("that is neither bytes nor text fails the upgrade", async () => {
    for (const value of [1, null, undefined, {}, [1]]) {
      const { child, failures } = joined(offering(() => value as never));
      child.take("state");
      await turns();
      assert.match(failures[0]?.message ?? "", /expected bytes, a string or an async iterable/);
    }
  });

  test("that is not complete when the parent dies fails with ERR_ABORTED", async () => {
    const { child } = joined(offering(async function* () {
      yield "half";
      await new Promise(() => {});
    }));
    const stream = child.take("state")!;
    await turns();
    child.end("the parent has died");
    await assert.rejects(stream.text(), { code: "ERR_ABORTED", message: /the parent has died/ });
  });

  test("is not asked for any more once the upgrade has failed", async () => {
    let ended = false;
    const { child, parent } = joined(offering(async function* () {
      try {
        for (;;) yield new Uint8Array(1024 * 1024);
      } finally {
        ended = true;
      }
    }));
    child.take("state");
    await turns();
    parent.end(false);
    await turns();
    assert.equal(ended, true);
  });
});

describe("freeze and thaw", () => {
  async function run(succeeded: boolean): Promise<string[]> {
    const log: string[] = [];
    const { child, parent } = joined(offering(() => {
      log.push("produce");
      return "x";
    }, { freeze: () => void log.push("freeze"), thaw: () => void log.push("thaw") }));
    assert.equal(await child.take("state")?.text(), "x");
    parent.end(succeeded);
    parent.end(succeeded);
    await turns();
    return log;
  }

  test("freeze comes before the state is produced, thaw when the upgrade has failed", async () => {
    assert.deepEqual(await run(false), ["freeze", "produce", "thaw"]);
  });

  test("nothing is thawed when the successor has taken over", async () => {
    assert.deepEqual(await run(true), ["freeze", "produce"]);
  });

  test("a thaw that throws is told and keeps no other from thawing", async () => {
    const log: string[] = [];
    const offers = offering(() => "x", {
      thaw: () => {
        throw new Error("stuck");
      },
    });
    offers.add("other", () => "y", { thaw: () => void log.push("thaw") });
    const { child, parent, warnings } = joined(offers);
    await child.take("state")?.text();
    await child.take("other")?.text();
    parent.end(false);
    await turns();
    assert.deepEqual(log, ["thaw"]);
    assert.deepEqual(warnings, ["Cannot thaw: stuck"]);
  });
});

describe("an offer", () => {
  test("is refused when its name is taken, or something is no function", () => {
    const offers = offering(() => "x");
    assert.throws(() => offers.add("state", () => "", {}), /"state": the name is taken/);
    assert.throws(() => offers.add("other", "x" as never, {}), /expected functions/);
    assert.throws(() => offers.add("other", () => "", { thaw: 1 as never }), /expected functions/);
  });

  test("has a name of 1 to 255 characters", () => {
    assert.equal(stateName("cache"), "app:cache");
    for (const name of ["", "x".repeat(256), 1, undefined]) {
      assert.throws(() => stateName(name), /expected a string of 1 to 255 characters/);
    }
  });

  test("that was withdrawn is not offered any more", () => {
    const offers = new Offers();
    const withdraw = offers.add("state", () => "x", {});
    assert.deepEqual(offers.names, ["state"]);
    withdraw();
    assert.deepEqual(offers.names, []);
  });
});
