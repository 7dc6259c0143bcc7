// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import {
  ask,
  Chain,
  type ChainOptions,
  countDescriptors,
  get,
  isRunning,
  until,
} from "../support/chain.ts";
import { current, runtimes } from "../support/runtimes.ts";

const runtime = current();
const limit = { timeout: 60_000 };

async function started(
  t: TestContext,
  options: Partial<ChainOptions> = {},
): Promise<{ chain: Chain; pid: number }> {
  const chain = new Chain({ runtime, ...options });
  t.after(() => chain.end());
  const { pid } = await chain.event("ready", 1);
  return { chain, pid };
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test(
  "a second upgrade is refused with ERR_UPGRADE_IN_PROGRESS while one runs",
  limit,
  async (t) => {
    const { chain } = await started(t, { config: { mode: "slow-init" } });
    const first = chain.get("/admin/upgrade", {});
    const child = await chain.event("initialising", 2);
    assert.equal((await chain.get("/admin/upgrade", {})).json.code, "ERR_UPGRADE_IN_PROGRESS");
    process.kill(child.pid, "SIGUSR2");
    assert.equal((await first).status, 200);
  },
);

test(
  "stop interrupts a running upgrade, ends its child and resolves exit with stopped",
  limit,
  async (t) => {
    const { chain, pid } = await started(t, { config: { mode: "never-ready" } });
    const upgrade = chain.get("/admin/upgrade", {});
    const child = await chain.event("waiting", 2);
    await chain.get("/admin/stop");
    assert.equal((await upgrade).json.code, "ERR_STOPPED");
    assert.equal((await chain.event("exit", 1)).reason, "stopped");
    await until("both processes are gone", () => !isRunning(pid) && !isRunning(child.pid));
  },
);

test(
  "an upgrade after an upgrade is refused with ERR_ALREADY_UPGRADED, and the request is still served",
  limit,
  async (t) => {
    const { chain } = await started(t, { config: { options: { idleGraceMs: 3000 } } });
    const target = chain.address("main") as { port: number; host: string };
    // A keep-alive connection stays with the old process while it drains.
    const { Agent, request } = await import("node:http");
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const post = (path: string) =>
      new Promise<{ json: { code?: string }; connection: string | undefined }>(
        (resolve, reject) => {
          const sent = request({ ...target, path, method: "POST", agent }, (response) => {
            let text = "";
            response.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
            response.on(
              "end",
              () => resolve({ json: JSON.parse(text), connection: response.headers.connection }),
            );
          });
          sent.on("error", reject);
          sent.end("{}");
        },
      );
    await post("/admin/status");
    assert.equal((await chain.get("/admin/upgrade", {})).status, 200);
    const late = await post("/admin/upgrade");
    assert.equal(late.json.code, "ERR_ALREADY_UPGRADED");
  },
);

test("a signal upgrades, and a signal stops", limit, async (t) => {
  const { chain, pid } = await started(t);
  process.kill(pid, "SIGHUP");
  const second = await chain.event("ready", 2);
  assert.equal((await chain.event("exit", 1)).reason, "upgraded");
  // stdout and stderr are two pipes: their order is not told.
  const line = `changeover: upgraded: generation 2 (pid ${second.pid}, ${runtime.runtime} `;
  await until("the operator is told on stderr", () => chain.errors.includes(line));
  process.kill(second.pid, "SIGTERM");
  assert.equal((await chain.event("exit", 2)).reason, "stopped");
  await until("both processes are gone", () => !isRunning(pid) && !isRunning(second.pid));
});

test(
  "a parent that is killed while the child initialises is replaced by it, and what waited is served",
  limit,
  async (t) => {
    const { chain, pid } = await started(t, {
      config: { mode: "slow-init", listen: [{ port: 0, name: "net" }] },
    });
    const target = chain.address("net");
    const main = chain.address("main");
    const upgrade = chain.get("/admin/upgrade", {}).catch((error: Error) => error);
    const child = await chain.event("initialising", 2);
    process.kill(pid, "SIGKILL");
    assert.ok(await upgrade instanceof Error, "the connection to the killed process is cut");
    await until("the parent is gone", () => !isRunning(pid));
    // Nobody accepts now; the connection waits in the kernel's queue.
    const waited = ask(target);
    process.kill(child.pid, "SIGUSR2");
    const { generation } = await chain.event("ready", 2);
    assert.equal(generation, 2);
    assert.equal(await waited, "2");
    const status = (await get(main, "/admin/status")).json;
    assert.equal(status.state, "serving");
    assert.equal((await chain.upgradeTo(runtime)).status, 200, "it can upgrade in its turn");
  },
);

test(
  "sockets that the successor does not claim are closed and their Unix paths removed",
  limit,
  async (t) => {
    const folder = folderFor(t);
    const path = join(folder, "old.sock");
    const { chain, pid } = await started(t, {
      config: { listen: [`unix:${path}`, { port: 0, name: "gone" }, { port: 0, name: "kept" }] },
    });
    const gone = chain.address("gone");
    const kept = chain.address("kept");
    const answer = await chain.get("/admin/upgrade", {
      env: { LISTEN_LATER: JSON.stringify([{ port: 0, name: "kept" }, `unix:${folder}/new.sock`]) },
    });
    assert.equal(answer.status, 200, answer.text);
    await chain.event("exit", 1);
    assert.equal(await ask(kept), "2");
    assert.equal(await ask({ path: join(folder, "new.sock") }), "2");
    assert.equal(existsSync(path), false);
    await until("the parent is gone", () => !isRunning(pid));
    await assert.rejects(ask(gone), /ECONNREFUSED/);
  },
);

/** One kept HTTP connection. */
function keep(t: TestContext, target: { port: number; host: string }) {
  const socket = net.connect(target);
  t.after(() => socket.destroy());
  let answers = "";
  let ended = false;
  socket.on("data", (chunk: Uint8Array) => answers += new TextDecoder().decode(chunk));
  socket.once("end", () => ended = true);
  const heads = () => answers.match(/HTTP\/1\.1 200 OK[\s\S]*?\r\n\r\n/g) ?? [];
  return {
    ended: () => ended,
    /** Sends a request and waits for the head of its answer. */
    async ask(): Promise<string> {
      const before = heads().length;
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await until("the answer is there", () => heads().length > before || ended);
      assert.equal(heads().length, before + 1, "the connection was cut");
      return heads().at(-1)!;
    },
  };
}

for (const name of ["main", "started"]) {
  test(
    `kept connections are served while they drain, and told to close one after the other (${name})`,
    limit,
    async (t) => {
      const { chain } = await started(t, {
        config: {
          main: "native",
          options: { drainSpreadMs: 60_000, idleGraceMs: 60_000, drainTimeoutMs: 4000 },
        },
      });
      const target = chain.address(name) as { port: number; host: string };
      const [first, second] = [keep(t, target), keep(t, target)];
      for (const connection of [first, second]) {
        assert.doesNotMatch(await connection.ask(), /connection: close/i);
      }
      assert.equal((await chain.get("/admin/upgrade", {})).status, 200);
      await chain.event("exit", 1);
      assert.match(await first.ask(), /connection: close/i);
      await until("the connection that was told is closed", () => first.ended());
      for (let again = 0; again < 3; again++) {
        assert.doesNotMatch(await second.ask(), /connection: close/i);
      }
      assert.equal(second.ended(), false, "its turn has not come");
      assert.equal(
        (await chain.event("drained", 1)).cut,
        1,
        "at the deadline it is cut and counted",
      );
    },
  );
}

test(
  "nine upgrades in a row through other runtimes leave one process with as many descriptors as the first",
  limit,
  async (t) => {
    const folder = folderFor(t);
    const { chain, pid } = await started(t, {
      config: { listen: [{ port: 0, name: "net" }, `unix:${folder}/a.sock`] },
    });
    const target = chain.address("net");
    await chain.get();
    const descriptors = countDescriptors(pid);
    let last = pid;
    for (let generation = 2; generation <= 10; generation++) {
      const next = generation === 10 ? runtime : runtimes[generation % runtimes.length]!;
      const answer = await chain.upgradeTo(next);
      assert.equal(answer.status, 200, answer.text);
      last = (await chain.event("ready", generation)).pid;
      await chain.event("drained", generation - 1);
      assert.equal(await ask(target), String(generation));
      await chain.event("alone", generation);
    }
    await until("one process is left", () => chain.pids.filter(isRunning).length === 1);
    assert.equal(chain.pids.filter(isRunning)[0], last);
    await chain.get();
    await until(
      `it has at most ${descriptors} descriptors`,
      () => countDescriptors(last) <= descriptors,
    );
  },
);

test(
  "the listening sockets stay non-blocking and close-on-exec through a spawn by this runtime",
  limit,
  async (t) => {
    const { chain, pid } = await started(t, {
      config: { main: "native", mode: "slow-init", listen: [{ port: 0, name: "net" }] },
    });
    const upgrade = chain.get("/admin/upgrade", {});
    const child = await chain.event("initialising", 2);
    assert.deepEqual(blockingListeners(pid), [], "in the parent while the child initialises");
    assert.deepEqual(leakingSockets(child.pid), [], "in the child before it is ready");
    process.kill(child.pid, "SIGUSR2");
    assert.equal((await upgrade).status, 200);
    await chain.event("drained", 1);
    assert.deepEqual(blockingListeners(child.pid), [], "in the child");
    assert.deepEqual(leakingSockets(child.pid), [], "in the child");
  },
);

test("a release folder behind a symbolic link is followed to the new release", limit, async (t) => {
  const folder = folderFor(t);
  const fixture = new URL("../fixtures/server.ts", import.meta.url).href;
  for (const release of ["41", "42"]) {
    mkdirSync(join(folder, release));
    writeFileSync(
      join(folder, release, "app.ts"),
      `console.log(JSON.stringify({ event: "release", pid: process.pid, release: "${release}" }));\nawait import(${
        JSON.stringify(fixture)
      });\n`,
    );
    writeFileSync(join(folder, release, "package.json"), `{"type":"module"}`);
  }
  symlinkSync("41", join(folder, "current"));
  const cwd = join(folder, "current");
  const chain = new Chain({
    runtime,
    script: "app.ts",
    cwd,
    env: { PWD: cwd },
    args: ["an argument", ""],
  });
  t.after(() => chain.end());
  const { pid } = await chain.event("ready", 1);
  unlinkSync(cwd);
  symlinkSync("42", cwd);
  process.kill(pid, "SIGHUP");
  await chain.event("ready", 2);
  assert.deepEqual(
    chain.said.filter(({ event }) => event === "release").map(({ release }) => release),
    ["41", "42"],
  );
});

test(
  "a grandchild that inherited the variable does not believe that it is an upgrade",
  limit,
  async (t) => {
    const { chain } = await started(t, {
      env: { CHANGEOVER: JSON.stringify({ v: 1, fd: 3, ppid: 1 }) },
    });
    assert.equal((await chain.get("/admin/status")).json.generation, 1);
    assert.equal((await chain.get("/admin/status")).json.env, null);
    await until(
      "the operator is warned",
      () => chain.errors.includes("meant for another process"),
    );
  },
);

test("an address in use names the address and says that it was not inherited", limit, async (t) => {
  const { chain } = await started(t);
  const { port } = chain.address("main") as { port: number };
  const other = new Chain({ runtime, config: { listen: [`127.0.0.1:${port}`] } });
  t.after(() => other.end());
  const { code, message } = await other.event("error");
  assert.equal(code, "ERR_ADDRESS");
  assert.match(
    message,
    new RegExp(`127\\.0\\.0\\.1:${port}: the address is in use .* was not inherited`),
  );
});

test(
  "a Unix path that another process serves is refused, a stale one is replaced",
  limit,
  async (t) => {
    const folder = folderFor(t);
    const path = join(folder, "a.sock");
    const { pid } = await started(t, { config: { listen: [`unix:${path}`] } });
    const other = new Chain({ runtime, config: { listen: [`unix:${path}`] } });
    t.after(() => other.end());
    const { code, message } = await other.event("error");
    assert.equal(code, "ERR_ADDRESS");
    assert.match(message, /another process serves this path/);
    assert.equal(await ask({ path }), "1", "the other one has not taken it away");
    process.kill(pid, "SIGKILL");
    await until("it is gone", () => !isRunning(pid));
    assert.equal(existsSync(path), true);
    const { chain: third } = await started(t, { config: { listen: [`unix:${path}`] } });
    assert.equal(await ask(third.address(`unix:${path}`)), "1");
  },
);

/** Listening sockets of a process that would block in accept(2). */
function blockingListeners(pid: number): string[] {
  return sockets(pid).filter(({ listening, flags }) => listening && (flags & 0o4000) === 0).map((
    { fd },
  ) => `fd ${fd}`);
}

/** Sockets of a process that a program which it starts would inherit. Bun closes them when it starts one. */
function leakingSockets(pid: number): string[] {
  return sockets(pid).filter(({ fd, flags }) =>
    fd > 2 && (flags & 0o2000000) === 0 && runtime.runtime !== "bun"
  ).map(({ fd }) => `fd ${fd}`);
}

function sockets(pid: number): { fd: number; flags: number; listening: boolean }[] {
  const listeners = new Set(
    ["tcp", "tcp6"].flatMap((table) =>
      readFileSync(`/proc/${pid}/net/${table}`, "utf8").split("\n").map((line) =>
        line.trim().split(/\s+/)
      ).filter((row) => row[3] === "0A").map((row) => row[9])
    ),
  );
  const found: { fd: number; flags: number; listening: boolean }[] = [];
  for (let fd = 0; fd < 512; fd++) {
    let link: string;
    let info: string;
    try {
      link = readlinkSync(`/proc/${pid}/fd/${fd}`);
      info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    } catch {
      continue;
    }
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode === undefined) continue;
    found.push({
      fd,
      flags: Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? "0", 8),
      listening: listeners.has(inode),
    });
  }
  return found;
}
