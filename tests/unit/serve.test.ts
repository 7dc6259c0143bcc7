import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { Runtime } from "../../src/backend/backend.ts";
import { guarded, RequestInfo } from "../../src/serve/handler.ts";
import {
  serve,
  type ServeHandler,
  type ServeInfo,
  type ServeOptions,
} from "../../src/serve/mod.ts";
import { planOf, upgraderOptions } from "../../src/serve/options.ts";
import { fakeBackend } from "../../src/testing/mod.ts";
import { refused } from "../support/fake_app.ts";

const fetch = () => new Response("hello");
const good: ServeOptions = { port: 8080, fetch };
const request = new Request("http://localhost/");
const info = {} as ServeInfo;

describe("the options of serve", () => {
  const wrong: readonly [string, Record<string, unknown>, RegExp][] = [
    ["no fetch", { fetch: undefined }, /fetch: expected a function, got undefined/],
    ["a fetch that is text", { fetch: "hello" }, /fetch: expected a function, got "hello"/],
    ["an onListen that is none", { onListen: 1 }, /onListen: expected a function, got 1/],
    ["an onError that is none", { onError: null }, /onError: expected a function, got null/],
    ["no address at all", { port: undefined }, /give a port or a path/],
    ["a port and a path", { path: "/run/app.sock" }, /a path stands alone/],
    ["an address and a port", { address: ":8081" }, /address ":8081": .* leave port out/],
    ["tls that is text", { tls: "cert" }, /tls: expected an object, got "cert"/],
    ["no certificate", { tls: { key: "" } }, /tls.cert: expected PEM .* got undefined/],
    ["a bad certificate", { tls: { cert: "x", key: "x" } }, /tls.cert: it is no certificate/],
    ["server options that are none", { serverOptions: 1 }, /serverOptions: expected an object/],
    ["websocket on Node", { websocket: {} }, /websocket: it is Bun's; on Node/],
  ];
  for (const [title, options, message] of wrong) {
    test(`refuse ${title}`, () => {
      assert.throws(
        () => planOf({ ...good, ...options } as ServeOptions, "node"),
        (error: Error) => error instanceof TypeError && message.test(error.message),
      );
    });
  }

  test("refuse a port out of bounds with its value and the bound", () => {
    assert.throws(() => planOf({ ...good, port: 65536 }, "node"), /65536.*to 65535/);
  });

  test("tell what to do instead of websocket on Deno, and take it on Bun", () => {
    const options = { ...good, websocket: {} };
    assert.throws(() => planOf(options, "deno"), /Deno\.upgradeWebSocket/);
    assert.equal(planOf(options, "bun").websocket, options.websocket);
  });

  test("take a certificate with its key, as text or bytes, and refuse one with another key", () => {
    const pem = (name: string) =>
      readFileSync(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));
    const tls = { cert: pem("cert"), key: pem("key").toString() };
    const plan = planOf({ ...good, tls }, "node");
    assert.deepEqual(plan.tls, { cert: pem("cert").toString(), key: pem("key").toString() });
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    assert.throws(
      () => planOf({ ...good, tls: { ...tls, key } }, "node"),
      /the key is not that of the certificate/,
    );
    const unix: ServeOptions = { path: "/run/app.sock", fetch, tls };
    assert.throws(() => planOf(unix, "deno"), /on Deno a Unix socket serves no HTTPS/);
    assert.notEqual(planOf(unix, "bun").tls, undefined);
  });

  test("are those of the upgrader besides its own", () => {
    assert.deepEqual(
      upgraderOptions({ ...good, tls: { cert: "", key: "" }, pidFile: "/run/app.pid" }),
      { pidFile: "/run/app.pid" },
    );
    assert.throws(() => upgraderOptions(null as never), /options must be an object, got null/);
  });

  test("that are unknown or out of bounds are refused, and serve may be tried again", async () => {
    const { backend } = fakeBackend();
    await assert.rejects(serve({ ...good, backend, prot: 1 } as ServeOptions), /"prot"/);
    await assert.rejects(serve({ ...good, backend, drainTimeoutMs: -1 }), /-1 .* from 0 to/);
    await refused(serve({ ...good, backend, port: -1 }), "ERR_ADDRESS");
  });
});

test("a start that fails leaves no signal handler and nothing that keeps the process alive", async () => {
  const fake = fakeBackend();
  await refused(serve({ ...good, port: -1, backend: fake.backend, logger: false }), "ERR_ADDRESS");
  await fake.settle();
  assert.deepEqual(fake.handledSignals, []);
  assert.deepEqual(fake.keptAliveBy, []);
});

describe("a guarded fetch", () => {
  const run = async (
    fetch: unknown,
    { onError, runtime = "node", asked = request }: {
      onError?: unknown;
      runtime?: Runtime;
      asked?: Request;
    } = {},
  ) => {
    const told: string[] = [];
    const options = {
      fetch: fetch as ServeHandler,
      ...(onError === undefined
        ? {}
        : { onError: onError as NonNullable<ServeOptions["onError"]> }),
    };
    const response = await guarded(options, runtime, (message) => told.push(message))(asked, info);
    return { response, told };
  };

  test("hands on what fetch returns, without a promise of its own", () => {
    const response = new Response();
    const handler = guarded({ fetch: () => response }, "node", () => {});
    assert.equal(handler(request, info), response);
  });

  const failures: readonly [string, unknown, RegExp][] = [
    ["throws", () => {
      throw new Error("boom");
    }, /^fetch failed: Error: boom\n/],
    ["rejects", () => Promise.reject(new Error("boom")), /^fetch failed: Error: boom\n/],
    ["throws what is no error", () => Promise.reject("boom"), /^fetch failed: boom$/],
    ["returns text", () => "hello", /hello, which is no Response/],
    ["resolves with nothing", () => Promise.resolve(), /undefined, which is no Response/],
  ];
  for (const [title, fetch, message] of failures) {
    test(`that ${title} answers 500 and is told`, async () => {
      const { response, told } = await run(fetch);
      assert.equal(response?.status, 500);
      assert.equal(told.length, 1);
      assert.match(told[0] ?? "", message);
    });
  }

  test("may return nothing on Bun, where a WebSocket has taken over", async () => {
    const { response, told } = await run(() => undefined, { runtime: "bun" });
    assert.equal(response, undefined);
    assert.deepEqual(told, []);
  });

  const boom = () => Promise.reject(new Error("boom"));

  test("lets onError answer, which is told the error and the request", async () => {
    const seen: unknown[] = [];
    const onError = (...told: unknown[]) => {
      seen.push(...told);
      return new Response(null, { status: 503 });
    };
    const { response, told } = await run(boom, { onError });
    assert.equal(response?.status, 503);
    assert.deepEqual(told, []);
    assert.equal((seen[0] as Error).message, "boom");
    assert.equal(seen[1], request);
  });

  test("answers 500 when onError fails or returns nothing, and tells both", async () => {
    for (const [onError, message] of [[boom, /^onError failed/], [() => {}, /^onError answered/]]) {
      const { response, told } = await run(boom, { onError });
      assert.equal(response?.status, 500);
      assert.equal(told.length, 2);
      assert.match(told[0] ?? "", message as RegExp);
      assert.match(told[1] ?? "", /^fetch failed/);
    }
  });

  test("does not tell of failures for clients that have gone", async () => {
    const controller = new AbortController();
    const asked = new Request(request, { signal: controller.signal });
    controller.abort();
    assert.deepEqual((await run(boom, { asked })).told, []);
    assert.equal((await run(boom, { asked, runtime: "deno" })).told.length, 1);
  });
});

test("the client is looked up when it is asked for, and an IPv4 address is one on a dual-stack socket", () => {
  let asked = 0;
  const told = new RequestInfo(undefined as never, undefined, () => {
    asked += 1;
    return { hostname: "::ffff:192.0.2.1", port: 4711 };
  });
  assert.equal(asked, 0);
  assert.deepEqual([told.remoteAddress, told.remotePort], ["192.0.2.1", 4711]);
  const gone = new RequestInfo(undefined as never, undefined, () => undefined);
  assert.deepEqual([gone.remoteAddress, gone.remotePort], [undefined, undefined]);
});
