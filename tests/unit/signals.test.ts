import assert from "node:assert/strict";
import { test } from "node:test";
import { installSignals } from "../../src/signals.ts";
import { type Fake, fakeBackend } from "../../src/testing/mod.ts";

function installed(taken = true): { fake: Fake; told: string[]; dispose: () => void } {
  const fake = fakeBackend();
  const told: string[] = [];
  const dispose = installSignals(
    fake.backend,
    { upgrade: ["SIGHUP"], stop: ["SIGTERM", "SIGINT"] },
    {
      upgrade: (signal) => void told.push(`upgrade ${signal}`),
      stop: (signal) => {
        told.push(`stop ${signal}`);
        return taken;
      },
    },
  );
  return { fake, told, dispose };
}

test("each signal asks for what it means, as often as it comes", async () => {
  const { fake, told } = installed();
  for (const signal of ["SIGHUP", "SIGTERM", "SIGHUP", "SIGINT"]) await fake.raise(signal);
  assert.deepEqual(told, ["upgrade SIGHUP", "stop SIGTERM", "upgrade SIGHUP", "stop SIGINT"]);
  assert.equal(fake.status, undefined);
});

test("the disposer takes all handlers out, and is harmless twice", async () => {
  const { fake, told, dispose } = installed();
  assert.deepEqual(fake.handledSignals, ["SIGHUP", "SIGTERM", "SIGINT"]);
  dispose();
  dispose();
  assert.deepEqual(fake.handledSignals, []);
  await fake.raise("SIGTERM");
  assert.deepEqual(told, []);
  assert.deepEqual(fake.status, { code: null, signal: "SIGTERM" });
});

test("a stop that is not taken does what the signal does without handlers", async () => {
  const { fake, told } = installed(false);
  await fake.raise("SIGINT");
  assert.deepEqual(told, ["stop SIGINT"]);
  assert.deepEqual(fake.handledSignals, []);
  assert.deepEqual(fake.status, { code: null, signal: "SIGINT" });
});

test("a signal that the system does not know is a TypeError, and none is installed", () => {
  const fake = fakeBackend();
  const actions = { upgrade() {}, stop: () => true };
  assert.throws(
    () => installSignals(fake.backend, { upgrade: ["SIGHUP", "SIGFUN"], stop: [] }, actions),
    (error) => error instanceof TypeError && /cannot catch "SIGFUN"/.test(error.message),
  );
  assert.deepEqual(fake.handledSignals, []);
});

test("no signals install nothing", () => {
  const fake = fakeBackend();
  installSignals(fake.backend, { upgrade: [], stop: [] }, { upgrade() {}, stop: () => true })();
  assert.deepEqual(fake.handledSignals, []);
});
