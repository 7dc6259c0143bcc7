// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readArgs } from "../../bench/load/args.ts";
import { type LoadOptions, type Report, startLoad } from "../../bench/load/load.ts";
import { tableOf } from "../../bench/load/table.ts";
import { current } from "../support/runtimes.ts";

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** A well-behaved server: GET says who it is, POST echoes. */
const wellBehaved: Handler = (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    response.setHeader("x-generation", "1");
    if (request.url === "/chunked") response.write("some");
    if (request.url === "/big") return response.end(Buffer.alloc(1 << 20));
    if (request.url === "/plain") {
      return response.removeHeader("x-generation"), response.end("me\n");
    }
    if (request.url === "/digest") {
      return response.end(`${body.length} ${createHash("sha256").update(body).digest("hex")}`);
    }
    response.end(request.method === "POST" ? body : "hello");
  });
};

/** Runs `use` while the server listens, by default on a port of 127.0.0.1. */
async function withServer<T>(
  handler: Handler,
  use: (port: number) => Promise<T>,
  path?: string,
): Promise<T> {
  const server = http.createServer(handler);
  const listening = new Promise<void>((resolve) => server.once("listening", resolve));
  if (path === undefined) server.listen(0, "127.0.0.1");
  else server.listen(path);
  await listening;
  try {
    return await use(path === undefined ? (server.address() as AddressInfo).port : 0);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

function run(
  options: Omit<LoadOptions, "target">,
  handler: Handler = wellBehaved,
): Promise<Report> {
  return withServer(handler, (port) => {
    const target = { port, hostname: "127.0.0.1" };
    return startLoad({ target, proberMs: 0, maxMs: 20_000, ...options }).done;
  });
}

function assertAllAnswered(report: Report, sent: number): void {
  assert.deepEqual(report.inconsistencies, []);
  assert.deepEqual(report.lossKinds, {});
  assert.equal(report.sent, sent);
  assert.equal(report.answered, sent);
  assert.equal(report.lost, 0);
}

describe("startLoad", () => {
  test("answers everything when all populations ask a good server", async () => {
    const report = await run({
      keepAlive: 4,
      oneShot: 2,
      post: { clients: 2, bytes: 100_000 },
      pipelined: 2,
      slowReader: { clients: 1, path: "/big", pauseMs: 1 },
      slowWriter: { clients: 1, bytes: 2000, pauseMs: 1 },
      maxRequests: 600,
    });
    assertAllAnswered(report, 600);
    assert.deepEqual(Object.keys(report.populations).sort(), [
      "keepAlive",
      "oneShot",
      "pipelined",
      "post",
      "slowReader",
      "slowWriter",
    ]);
    assert.deepEqual(report.identities.map(({ identity }) => identity), ["1"]);
    assert.equal(report.latency.count, 600);
    assert.equal(report.inFlight, 0);
  });

  test("opens one connection per keep-alive client and one per one-shot request", async () => {
    assert.equal((await run({ keepAlive: 3, maxRequests: 60 })).connections.opened, 3);
    assert.equal((await run({ oneShot: 3, maxRequests: 60 })).connections.opened, 60);
  });

  test("reads chunked bodies, answers to HEAD and empty POSTs", async () => {
    assertAllAnswered(await run({ keepAlive: 2, path: "/chunked", maxRequests: 20 }), 20);
    assertAllAnswered(
      await run({ keepAlive: { clients: 2, method: "HEAD" }, maxRequests: 20 }),
      20,
    );
    assertAllAnswered(await run({ post: { clients: 2, bytes: 0 }, maxRequests: 20 }), 20);
  });

  test("checks the digest of a body when that is what the server sends", async () => {
    const options = { post: { clients: 2, bytes: 5000 }, echo: "digest", maxRequests: 20 } as const;
    assertAllAnswered(await run({ ...options, path: "/digest" }), 20);
    assert.equal((await run(options)).outcomes["wrong-answer"], 20);
  });

  test("speaks to a Unix socket", async () => {
    const path = join(tmpdir(), `load-${process.pid}-${Date.now()}.sock`);
    const options = { target: { path }, keepAlive: 2, oneShot: 1, proberMs: 0, maxRequests: 50 };
    const report = await withServer(wellBehaved, () => startLoad(options).done, path);
    await rm(path, { force: true });
    assertAllAnswered(report, 50);
  });

  test("takes the identity from the body when there is no field, or asks the caller", async () => {
    const options = { keepAlive: 1, path: "/plain", maxRequests: 3 };
    assert.equal((await run(options)).identities[0]?.identity, "me");
    const asked = await run({ ...options, identify: ({ status }) => `status ${status}` });
    assert.equal(asked.identities[0]?.identity, "status 200");
    const threw = await run({
      ...options,
      identify: () => {
        throw new Error("cannot say");
      },
    });
    assertAllAnswered(threw, 3);
  });

  test("adds up windows of the same label", async () => {
    await withServer(wellBehaved, async (port) => {
      let answers = 0;
      const load = startLoad({
        target: { port },
        keepAlive: 2,
        maxRequests: 400,
        label: "steady",
        check: () => {
          answers++;
          if (answers % 100 === 0) load.mark(answers % 200 === 0 ? "steady" : "flip");
          return undefined;
        },
        proberMs: 0,
      });
      const report = await load.done;
      assertAllAnswered(report, 400);
      assert.deepEqual(report.windows.map(({ label, marks }) => [label, marks]), [
        ["steady", 3],
        ["flip", 2],
      ]);
      for (const { requests } of report.windows) assert.ok(requests >= 190 && requests <= 210);
    });
  });

  test("keeps a prober's account while there are other clients", async () => {
    const report = await run({
      slowWriter: { clients: 1, pauseMs: 5 },
      proberMs: 2,
      maxRequests: 3,
    });
    assertAllAnswered(report, 3);
    assert.ok(report.prober !== null && report.prober.sent > 0);
    assert.equal(report.prober.lost, 0);
    assert.equal(report.prober.connections.opened, report.prober.sent);
  });

  test("ends at maxMs", async () => {
    const report = await run({ keepAlive: 1, thinkMs: 1, maxMs: 30 });
    assert.equal(report.answered, report.sent);
    assert.equal(report.consistent, true);
  });

  test("rejects numbers that it cannot use", () => {
    const target = { port: 1 };
    for (
      const options of [
        { keepAlive: -1 },
        { keepAlive: 1.5 },
        { keepAlive: NaN },
        { pipelined: { clients: 1, depth: 0 } },
        { thinkMs: -1 },
        { maxMs: 0 },
        { timeoutMs: 0 },
      ]
    ) assert.throws(() => startLoad({ target, ...options }), RangeError, JSON.stringify(options));
  });
});

describe("readArgs", () => {
  test("takes WebSockets and streams of events, each with a path of its own", () => {
    const command = readArgs(
      "--url http://127.0.0.1:80/ --web-socket 2 --web-socket-path /ws --sse 3 --sse-path /events"
        .split(" "),
    );
    assert.ok(command.kind === "run");
    const { webSocket, sse, keepAlive } = command.options;
    const found = [webSocket, sse, keepAlive].map((each) => {
      const { clients, path } = each as { clients: number; path?: string };
      return [clients, path];
    });
    assert.deepEqual(found, [[2, "/ws"], [3, "/events"], [0, undefined]]);
  });

  test("reads a whole command line", () => {
    const command = readArgs(
      "--url http://127.0.0.1:81/a?b --seconds 3 --keep-alive 2 --post 1 --post-bytes 9 --json"
        .split(" "),
    );
    assert.ok(command.kind === "run");
    assert.equal(command.json, true);
    const { target, path, maxMs, keepAlive, post } = command.options;
    assert.deepEqual(target, { port: 81, hostname: "127.0.0.1" });
    assert.equal(path, "/a?b");
    assert.equal(maxMs, 3000);
    assert.deepEqual(keepAlive, { clients: 2, bytes: 9, pauseMs: 5 });
    assert.deepEqual(post, { clients: 1, bytes: 9, pauseMs: 5 });
  });

  for (
    const args of [[], ["--url", "https://x/"], ["--url", "no url"], ["--nonsense"], [
      "--url",
      "http://x/",
      "--seconds",
      "ten",
    ]]
  ) {
    test(`says what is wrong with "${args.join(" ")}"`, () => {
      assert.equal(readArgs(args).kind, "wrong");
    });
  }
});

describe("tableOf", () => {
  test("shows losses, and an account that does not add up", async () => {
    const report = await run({ keepAlive: 2, expectStatus: 201, maxRequests: 4 });
    const text = tableOf(report);
    assert.match(text, /lost: wrong-answer 4\n/);
    assert.match(text, /wrong-answer\/reused\/status 200 +2\n/);
    assert.match(text, /the account is consistent\n$/);
    const broken = { ...report, consistent: false, inconsistencies: ["one = two: 1 and 2"] };
    assert.match(tableOf(broken), /NOT CONSISTENT:\n {2}one = two: 1 and 2\n$/);
  });
});

describe("main", () => {
  const cases: readonly (readonly [string, number, readonly string[]])[] = [
    ["exits with 0 when nothing was lost", 0, []],
    ["exits with 1 when something was lost", 1, ["--expect-status", "201"]],
    ["exits with 2 when a number is out of range", 2, ["--timeout-ms", "0"]],
  ];
  for (const [title, wanted, extra] of cases) {
    test(title, async () => {
      await withServer(wellBehaved, async (port) => {
        const url = `http://127.0.0.1:${port}/`;
        const args = ["--url", url, "--max-requests", "50", "--prober-ms", "0", "--json", ...extra];
        const { code, stdout } = await runMain(args);
        assert.equal(code, wanted);
        if (code < 2) assert.equal(JSON.parse(stdout).sent, 50);
      });
    });
  }

  test("obeys commands on standard input", async () => {
    await withServer(wellBehaved, async (port) => {
      const url = `http://127.0.0.1:${port}/`;
      const args = ["--url", url, "--keep-alive", "1", "--seconds", "20", "--json", "--stdin"];
      const { code, stdout } = await runMain(args, "mark after\nsnapshot\nstop\n");
      assert.equal(code, 0);
      const [snapshot, report, ...rest] = stdout.trim().split("\n").map((line) => JSON.parse(line));
      assert.deepEqual(rest, []);
      assert.equal(snapshot.consistent, true);
      assert.deepEqual(report.windows.map(({ label }: { label: string }) => label), [
        "start",
        "after",
      ]);
    });
  });
});

function runMain(args: readonly string[], input = ""): Promise<{ code: number; stdout: string }> {
  const main = fileURLToPath(new URL("../../bench/load/main.ts", import.meta.url));
  const [executable, ...rest] = current().command(main, args);
  const child = spawn(executable!, rest, { stdio: ["pipe", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({ code: code ?? -1, stdout: Buffer.concat(chunks).toString() });
    });
  });
}
