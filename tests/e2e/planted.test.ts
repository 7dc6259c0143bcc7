// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { Chain, isRunning, until } from "../support/chain.ts";
import { control } from "../support/control_client.ts";
import { current } from "../support/runtimes.ts";

const runtime = current();
const limit = { timeout: 90_000 };

/** A service whose names are in a folder that everybody may write to. */
async function started(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o777);
  const paths = ["c.sock", "app.pid", "app.sock", "precious"].map((name) => join(folder, name));
  const [path = "", pidFile = "", unix = "", precious = ""] = paths;
  writeFileSync(precious, "precious");
  const chain = new Chain({
    runtime,
    config: {
      listen: [`unix:${unix}`],
      options: { control: path, pidFile, drainTimeoutMs: 5_000 },
    },
  });
  t.after(() => chain.end());
  await chain.event("ready", 1);
  /** Puts something else where the service has a name. */
  const plant = (at: string, what: "link" | "fifo" | "nothing") => {
    rmSync(at);
    if (what === "link") symlinkSync(precious, at);
    if (what === "fifo") execFileSync("mkfifo", [at]);
  };
  return { folder, path, pidFile, unix, precious, chain, plant };
}

test(
  "links and FIFOs in the place of the names are neither followed, opened nor removed, and take nothing down",
  limit,
  async (t) => {
    const { path, pidFile, unix, precious, chain, plant } = await started(t);
    await until(
      "the operator is warned of the folder",
      () => chain.errors.includes("can be written to by others"),
    );

    // The PID file is replaced, not written through.
    plant(pidFile, "link");
    assert.equal((await control(path, "POST", "/upgrade")).status, 200);
    const second = await chain.event("ready", 2);
    assert.ok(lstatSync(pidFile).isFile());
    assert.equal(readFileSync(pidFile, "utf8"), `${second.pid}\n`);

    // A child that finds a link in the place of the control socket fails; the parent serves.
    for (const what of ["link", "fifo"] as const) {
      plant(path, what);
      const { status, json } = await chain.upgradeTo(runtime);
      assert.equal(status, 500);
      assert.match(json.message, /Cannot use control socket .* is there, which is not touched/);
      assert.equal(readFileSync(pidFile, "utf8"), `${second.pid}\n`);
    }
    assert.ok(lstatSync(path).isFIFO());
    plant(path, "nothing");
    // With the way free again everything is as it should be.
    assert.equal((await chain.upgradeTo(runtime)).status, 200);
    const third = await chain.event("ready", 3);
    assert.equal((await control(path, "GET", "/status")).json.pid, third.pid);

    // At the end only what is ours is removed.
    plant(unix, "link");
    plant(pidFile, "fifo");
    await control(path, "POST", "/stop");
    assert.equal((await chain.event("exit", 3)).reason, "stopped");
    await until("it has ended by itself", () => !isRunning(third.pid));
    assert.equal(readlinkSync(unix), precious);
    assert.ok(lstatSync(pidFile).isFIFO());
    assert.equal(existsSync(path), false);
    assert.equal(readFileSync(precious, "utf8"), "precious");
  },
);

const client = `
const socket = require("node:net").connect(process.argv[1]);
socket.on("error", (error) => console.log(error.code));
socket.on("data", (data) => console.log(String(data).split(" ")[1]));
socket.write("GET /status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n");
`;

/** What a process of another user is told. */
function asNobody(path: string): string {
  const node = runtime.runtime === "node" ? runtime.executable : "node";
  const env = { PATH: process.env["PATH"] ?? "" };
  const as = { uid: 65534, gid: 65534, cwd: "/", encoding: "utf8", timeout: 60_000, env } as const;
  return spawnSync(node, ["-e", client, path], as).stdout?.trim() ?? "";
}

// To become somebody else one has to be root; and a Node must be where others may run it.
const skip = process.getuid?.() !== 0
  ? "not root"
  : asNobody("/nowhere") === "ENOENT"
  ? false
  : "nobody else can run Node";

test("another user's process is not let in", { ...limit, skip }, async (t) => {
  const { path, chain } = await started(t);
  assert.equal(asNobody(path), "EACCES");
  // Somebody has opened it to all: now only the kernel's word on the peer can tell, where the library can ask for it.
  chmodSync(path, 0o666);
  assert.equal(asNobody(path), runtime.runtime === "node" ? "200" : "403");
  assert.equal((await chain.get()).status, 200);
});
