// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { MAX_STREAMS } from "../../src/control/events.ts";
import { checkPath } from "../../src/control/path.ts";
import { LINGER_MS, MAX_VISITORS } from "../../src/control/server.ts";
import { VISIT_MS } from "../../src/control/visitor.ts";
import { UpgradeError } from "../../src/errors.ts";
import { until } from "../support/chain.ts";
import { control, Follower } from "../support/control_client.ts";
import { folderFor, idleControl, openControl } from "../support/control_socket.ts";
import { Wire } from "../support/wire.ts";

const limit = { timeout: 60_000 };

const ask = (wire: Wire, line: string) => wire.write(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`);

describe("a control socket", limit, () => {
  test("answers what there is, and says what there is otherwise", async (t) => {
    const { path, asked } = openControl(t);
    const answers: unknown[] = [];
    for (
      const [method, route] of [
        ["GET", "/status"],
        ["GET", "/metrics"],
        ["POST", "/stop"],
        ["GET", "/stop"],
        ["DELETE", "/status"],
        ["GET", "/constructor"],
      ] as const
    ) {
      const { status, text, headers, json } = await control(path, method, route);
      answers.push([status, json?.error?.code ?? text, headers["allow"]]);
      assert.equal(headers["connection"], "close");
    }
    assert.deepEqual(answers, [
      [200, '{"generation":1}\n', undefined],
      [200, "up 1\n", undefined],
      [202, '{"ok":true}\n', undefined],
      [405, "ERR_HTTP_405", "POST"],
      [405, "ERR_HTTP_405", "GET, HEAD"],
      [404, "ERR_HTTP_404", undefined],
    ]);
    assert.deepEqual(asked, ["stop"]);
    const head = await ask(new Wire({ path }), "HEAD /status").closed;
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n.*Content-Length: 17\r\n.*\r\n\r\n$/s);
  });

  test("answers an upgrade when it is decided, also a client that has ended its side", async (t) => {
    const { path, decide, clock } = openControl(t);
    const wire = net.connect({ path, allowHalfOpen: true });
    let text = "";
    wire.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
    const closed = new Promise((resolve) => wire.once("close", resolve));
    wire.end("POST /upgrade HTTP/1.1\r\nHost: x\r\n\r\n");
    await until("it is asked for", () => decide() !== undefined);
    // However long it takes: that is bounded by upgradeTimeoutMs.
    await clock.advance(10 * VISIT_MS);
    decide()?.reject(new UpgradeError("ERR_UPGRADE_TIMEOUT", "Cannot upgrade: too late"));
    await closed;
    assert.match(text, /^HTTP\/1\.1 504 Gateway Timeout\r\n/);
    assert.match(text, /"message":"Cannot upgrade: too late"/);
  });

  test("lets nobody take longer than ten seconds to ask, or to read", async (t) => {
    const { path, clock } = openControl(t);
    const silent = new Wire({ path });
    const slow = new Wire({ path }).write("GET /sta");
    const rude = net.connect(path);
    t.after(() => rude.destroy());
    rude.on("error", () => {});
    const gone = new Promise((resolve) => rude.once("close", resolve));
    // It never ends its own side, so the server has to.
    rude.write("GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => rude.once("data", resolve));
    rude.pause();
    await control(path, "GET", "/status");
    await clock.advance(VISIT_MS);
    assert.match(await silent.closed, /^HTTP\/1\.1 408 /);
    assert.match(await slow.closed, /^HTTP\/1\.1 408 /);
    await clock.advance(VISIT_MS);
    rude.resume();
    await gone;
  });

  test("hears 256 clients at the same time, half of them followers, and refuses others", async (t) => {
    const { path } = openControl(t);
    const followers = await Promise.all(
      Array.from({ length: MAX_STREAMS }, () => Follower.of(path)),
    );
    assert.equal((await control(path, "GET", "/events")).status, 503);
    const idle: Wire[] = [];
    for (let count = MAX_STREAMS; count < MAX_VISITORS; count++) idle.push(new Wire({ path }));
    await until(
      "the places are taken",
      async () =>
        (await control(path, "GET", "/status").catch(() => ({ status: 503 }))).status === 503,
    );
    for (const one of [...idle, ...followers]) one.destroy();
    await until(
      "they are free again",
      async () => (await control(path, "GET", "/status").catch(() => undefined))?.status === 200,
    );
  });

  test("turns away another user's process, and lets root in", async (t) => {
    const path = join(folderFor(t), "c.sock");
    const stranger = openControl(t, { path, user: 4242 });
    assert.equal((await control(path, "GET", "/status")).status, 403);
    assert.match(stranger.warnings.join(), /user 4242 was turned away/);
    const root = openControl(t, { user: 0 });
    assert.equal((await control(root.path, "GET", "/status")).status, 200);
  });

  test("cuts off a follower that does not read, before it costs memory", async (t) => {
    const { path, socket } = openControl(t);
    const follower = await Follower.of(path);
    const deaf = net.connect(path);
    t.after(() => deaf.destroy());
    deaf.on("error", () => {});
    deaf.write("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => deaf.once("data", resolve));
    deaf.pause();
    const error = new UpgradeError("ERR_SPAWN", "x".repeat(50_000));
    for (let count = 1; count <= 100; count++) {
      socket.tell("upgrade-failed", { error });
      await until("who reads has heard it", () => follower.events.length > count);
    }
    let bytes = 0;
    deaf.on("data", (chunk: Uint8Array) => bytes += chunk.length);
    const closed = new Promise((resolve) => deaf.once("close", resolve));
    deaf.resume();
    await closed;
    assert.ok(bytes < 2_000_000, `${bytes} bytes were kept for it`);
    assert.equal((await follower.heard("upgrade-failed")).data.error.code, "ERR_SPAWN");
    follower.destroy();
  });
});

describe("the change of owner", limit, () => {
  test("leaves nobody unanswered, ends the streams, and takes two seconds at most", async (t) => {
    const old = openControl(t);
    const { path } = old;
    const follower = await Follower.of(path);
    const early = new Wire({ path });
    const silent = new Wire({ path });
    await control(path, "GET", "/status");
    const next = openControl(t, { path });
    old.socket.leave();
    old.socket.tell("upgraded", {});
    assert.deepEqual((await follower.ended).map(({ event }) => event), ["status", "upgraded"]);
    // The successor's is not removed, and answers.
    assert.equal((await control(path, "POST", "/stop")).status, 202);
    assert.deepEqual([old.asked, next.asked], [[], ["stop"]]);
    ask(early, "POST /stop");
    assert.match(await early.closed, /^HTTP\/1\.1 202 /);
    assert.deepEqual(old.asked, ["stop"]);
    await old.clock.advance(LINGER_MS);
    assert.equal(await silent.closed, "");
    await old.socket.left;
    assert.equal(old.clock.pending, 0);
  });

  test("hears a client that waits in the queue of the old socket", async (t) => {
    const old = openControl(t);
    const clients = Array.from(
      { length: 20 },
      () => ask(new Wire({ path: old.path }), "GET /status"),
    );
    // In the same tick: none of them can have been accepted.
    const next = openControl(t, { path: old.path });
    old.socket.leave();
    for (const client of clients) assert.match(await client.closed, /^HTTP\/1\.1 200 /);
    assert.equal(next.socket.owned, old.path);
    assert.equal(old.socket.owned, undefined);
  });

  test("is undone by an owner that takes the path again", async (t) => {
    const old = openControl(t);
    const { path } = old;
    const usurper = net.createServer().listen(`${path}.child`);
    t.after(() => usurper.close());
    renameSync(`${path}.child`, path);
    assert.equal(old.socket.owned, undefined);
    old.socket.take();
    assert.equal(old.socket.owned, path);
    assert.equal((await control(path, "GET", "/status")).status, 200);
    const { ino } = lstatSync(path);
    old.socket.take();
    assert.equal(lstatSync(path).ino, ino);
  });
});

describe("the path of a control socket", limit, () => {
  const refused = (act: () => void, why: RegExp) =>
    assert.throws(act, (error) => {
      assert.ok(UpgradeError.is(error));
      assert.equal(error.code, "ERR_ADDRESS");
      assert.match(error.message, why);
      return true;
    });

  test("is taken from a socket that nobody serves, and not from one that is served", async (t) => {
    const folder = folderFor(t);
    const path = join(folder, "c.sock");
    const dead = net.createServer().listen(`${path}.dead`);
    renameSync(`${path}.dead`, path);
    await assert.rejects(idleControl(path).socket.check(false), /another process serves it/);
    await idleControl(path).socket.check(true);
    await new Promise((resolve) => dead.close(resolve));
    await idleControl(path).socket.check(false);
    const { socket } = openControl(t, { path });
    assert.equal((await control(path, "GET", "/status")).status, 200);
    assert.equal(lstatSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), ["c.sock"]);
    socket.leave();
    await socket.left;
    assert.deepEqual(readdirSync(folder), []);
  });

  test("is refused when something else is there, which is neither followed nor touched", (t) => {
    const folder = folderFor(t);
    const target = join(folder, "target");
    writeFileSync(target, "precious");
    const planted: readonly (readonly [string, RegExp])[] = [
      ["file", /a file is there/],
      ["link", /a symbolic link is there/],
      ["dangling", /a symbolic link is there/],
      ["folder", /a folder is there/],
      ["fifo", /a file is there/],
    ];
    writeFileSync(join(folder, "file"), "precious");
    symlinkSync(target, join(folder, "link"));
    symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
    mkdirSync(join(folder, "folder"));
    execFileSync("mkfifo", [join(folder, "fifo")]);
    const before = readdirSync(folder, { withFileTypes: true }).map(String).sort();
    const names = readdirSync(folder).sort();
    for (const [name, why] of planted) {
      refused(() => checkPath(join(folder, name)), why);
      refused(() => idleControl(join(folder, name)).socket.take(), why);
    }
    assert.deepEqual(readdirSync(folder).sort(), names);
    assert.deepEqual(readdirSync(folder, { withFileTypes: true }).map(String).sort(), before);
    assert.equal(readFileSync(target, "utf8"), "precious");
    assert.equal(readFileSync(join(folder, "file"), "utf8"), "precious");
  });

  test("needs a folder, and a name that a Unix socket can have", (t) => {
    const folder = folderFor(t);
    refused(() => checkPath(join(folder, "nowhere/c.sock")), /its folder does not exist/);
    refused(
      () => idleControl(join(folder, "nowhere/c.sock")).socket.take(),
      /its folder does not exist/,
    );
    writeFileSync(join(folder, "file"), "");
    refused(() => checkPath(join(folder, "file/c.sock")), /is none/);
    refused(() => checkPath(join(folder, "x".repeat(200))), /too long/);
  });

  test("is advised against in a folder where others may replace it", (t) => {
    const folder = folderFor(t);
    const mode = (bits: string) => execFileSync("chmod", [bits, folder]);
    mode("777");
    assert.match(checkPath(join(folder, "c.sock")).join(), /can be written to by others/);
    for (const bits of ["1777", "755", "700"]) {
      mode(bits);
      assert.deepEqual(checkPath(join(folder, "c.sock")), []);
    }
  });
});
