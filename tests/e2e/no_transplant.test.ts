// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { startLoad } from "../../bench/load/load.ts";
import { type ServerKind, wayOf } from "../../src/backend/support.ts";
import { Asker, type Speech } from "../support/askers.ts";
import { Chain, isRunning, type Said, until } from "../support/chain.ts";
import { type Pair, pairs, type TestRuntime } from "../support/runtimes.ts";

// Servers of every kind where no socket can be placed into a running server, as on macOS.

const script = fileURLToPath(new URL("../fixtures/fallback.ts", import.meta.url));
const limit = { timeout: 60_000 };

/** What each kind of server of fixtures/kinds.ts speaks. */
const SPEECH: Readonly<Record<string, Speech>> = {
  "http.node": "http",
  "https.node": "https",
  "tcp.node": "tcp",
  "tls.node": "tls",
  "http.native": "http",
  "https.native": "https",
  "tcp.native": "tcp",
  "tls.native": "tls",
  "late.native": "http",
  "h2.node": "h2",
};

const KINDS: Readonly<Record<string, ServerKind>> = {
  "http.node": "node:http",
  "https.node": "node:https",
  "tcp.node": "node:net",
  "tls.node": "node:tls",
  "http.native": "native:http",
  "https.native": "native:https",
  "tcp.native": "native:tcp",
  "tls.native": "native:tls",
  "late.native": "native:http",
  "h2.node": "node:http2",
};

/** Whether a server can be replaced here: it passes its socket on, and takes one over. */
function isReplaced({ runtime }: TestRuntime, kind: string): boolean {
  const way = wayOf(runtime, KINDS[kind]!, false);
  // On Node its own servers are all there are.
  return way !== "unsupported" && (way !== undefined || runtime === "node");
}

const cases = pairs()
  .filter(({ parent, child }) =>
    child.name === "node26" ? parent.runtime !== "node" : child.runtime !== "node"
  )
  .flatMap((pair) =>
    Object.keys(SPEECH).map((kind) => ({
      ...pair,
      kind,
      passes: isReplaced(pair.parent, kind),
      takes: isReplaced(pair.child, kind),
    }))
  );

async function started(
  t: TestContext,
  { parent, kind }: { readonly parent: Pair["parent"]; readonly kind: string },
) {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  const names = [`${kind}.tcp`, `${kind}.unix`];
  const chain = new Chain({ runtime: parent, script, env: { FOLDER: folder, ONLY: `${names}` } });
  const askers: Asker[] = [];
  t.after(async () => {
    // First: on Bun a refused connection is told so soon that those who ask again leave no turn to anybody else.
    await Promise.all(askers.map((asker) => asker.stop()));
    await chain.end();
    rmSync(folder, { recursive: true });
  });
  const first = await chain.event("ready", 1);
  for (const name of names) askers.push(new Asker(SPEECH[kind]!, chain.address(name)));
  const answered = (generation: string, more = 0) => {
    const counts = askers.map(({ asked }) => asked.count);
    return until(
      `generation ${generation} has answered`,
      () =>
        askers.every(({ asked: { answers, count, lost } }, i) =>
          lost.length > 0 || (answers.includes(generation) && count >= counts[i]! + more)
        ),
    );
  };
  await answered("1");
  return { folder, chain, first, askers, answered };
}

async function stop({ pid }: Said): Promise<void> {
  process.kill(pid, "SIGTERM");
  await until("it has ended by itself", () => !isRunning(pid));
}

for (const { parent, child, title, kind } of cases.filter(({ passes, takes }) => passes && takes)) {
  test(
    `without placing sockets, ${kind} is replaced under load and loses nothing (${title})`,
    limit,
    async (t) => {
      const { folder, chain, first, askers, answered } = await started(t, { parent, kind });
      const answer = await chain.get("/", { command: child.command(script) });
      assert.equal(answer.status, 200, answer.text);
      await chain.event("exit", 1);
      await answered("2", 2);
      for (const asker of askers) {
        const { answers, lost } = await asker.stop();
        assert.deepEqual(lost, []);
        assert.equal(answers.at(-1), "2");
      }
      assert.equal((await chain.event("drained", 1)).cut, 0);
      await until("the parent has ended by itself", () => !isRunning(first.pid));
      await stop(await chain.event("ready", 2));
      assert.deepEqual(readdirSync(folder), [], "no path is left");
    },
  );
}

for (
  const { parent, child, title, kind, passes } of cases.filter(({ parent, child, passes, takes }) =>
    passes ? !takes : child.name === parent.name
  )
) {
  test(
    `without placing sockets, an upgrade of ${kind} is refused with a clear error and costs nothing (${title})`,
    limit,
    async (t) => {
      const { folder, chain, first, askers, answered } = await started(t, { parent, kind });
      const before = { paths: readdirSync(folder), listeners: listeners(first.pid) };
      const { status, json } = await chain.get("/", { command: child.command(script) });
      assert.equal(status, 500);
      // The parent knows it when it cannot pass the socket on; else the child finds out, and says so.
      assert.equal(json.code, passes ? "ERR_CHILD_FAILED" : "ERR_ADOPT");
      const why = passes
        ? /Cannot take over 127\.0\.0\.1:\d+: this server cannot take the inherited socket; .*Linux.*use a server of node:net, node:tls(?:,| or) node:http/
        : /the server on 127\.0\.0\.1:\d+ cannot pass its socket on;.*Linux.*use a server of node:net, node:tls(?:,| or) node:http/;
      assert.match(json.message, why);
      await answered("1", 5);
      for (const asker of askers) {
        assert.deepEqual(await asker.stop(), { ...asker.asked, answers: ["1"], lost: [] });
      }
      await until(
        "the child is gone",
        () => chain.pids.every((pid) => pid === first.pid || !isRunning(pid)),
      );
      assert.deepEqual(listeners(first.pid), before.listeners, "nothing else listens");
      assert.deepEqual(readdirSync(folder), before.paths, "no path is left by the child");
      await stop(first);
      assert.deepEqual(readdirSync(folder), [], "no path is left");
    },
  );
}

for (const { parent, child, title } of cases.filter(({ kind }) => kind === "http.node")) {
  test(
    `without placing sockets, kept connections of node:http are drained and nothing is lost (${title})`,
    limit,
    async (t) => {
      const { chain } = await started(t, { parent, kind: "http.node" });
      const target = chain.address("http.node.tcp") as { port: number };
      const load = startLoad({
        target: { port: target.port },
        keepAlive: 8,
        oneShot: 2,
        thinkMs: 2,
        proberMs: 0,
      });
      try {
        await until("it runs", () => load.snapshot().sent > 100);
        const answer = await chain.get("/", { command: child.command(script) });
        assert.equal(answer.status, 200, answer.text);
        assert.equal((await chain.event("drained", 1)).cut, 0);
      } finally {
        const { lost, consistent } = await load.stop();
        assert.deepEqual({ lost, consistent }, { lost: 0, consistent: true });
      }
    },
  );
}

/** Inodes of the listening sockets of a process. */
function listeners(pid: number): string[] {
  const listening = new Set(
    ["tcp", "tcp6", "unix"].flatMap((table) =>
      readFileSync(`/proc/${pid}/net/${table}`, "utf8").split("\n").map((line) =>
        line.trim().split(/\s+/)
      )
        // Of a Unix socket, __SO_ACCEPTCON among the flags (proc(5)).
        .filter((row) => table === "unix" ? row[3] === "00010000" : row[3] === "0A")
        .map((row) => row[table === "unix" ? 6 : 9])
    ),
  );
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode !== undefined && listening.has(inode) ? [inode] : [];
    } catch {
      return [];
    }
  }).toSorted();
}
