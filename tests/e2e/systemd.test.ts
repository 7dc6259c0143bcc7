// Runs on: node26, deno, bun
// Services under a real systemd. `CHANGEOVER_TEST_SYSTEMD` names a folder with another version's `usr`.
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Asker } from "../support/askers.ts";
import { get, isRunning, until } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";
import { Manager, skipSystemd, skipUnprivileged, systemdVersion } from "../support/systemd.ts";

const runtime = current();
const fixture = fileURLToPath(new URL("../fixtures/systemd.ts", import.meta.url));
const cli = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const LIMIT_MS = 240_000;

/** A port that nobody has now. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface ServiceOptions {
  readonly user?: "root" | "unprivileged";
  /** Lines of the section "Service", instead of these or besides. */
  readonly service?: readonly string[];
  /** With a socket unit. */
  readonly socket?: boolean;
  readonly options?: Record<string, unknown>;
}

/** A service in a manager of its own. */
class Service {
  readonly manager: Manager;
  readonly port: number;
  readonly folder: string;

  private constructor(manager: Manager, port: number, folder: string) {
    this.manager = manager;
    this.port = port;
    this.folder = folder;
  }

  static async install(t: TestContext, options: ServiceOptions = {}): Promise<Service> {
    const manager = await Manager.up(options.user ?? "root");
    t.after(() => manager.down());
    const service = new Service(manager, await freePort(), manager.mkdir("app"));
    const { folder, port } = service;
    const environment = {
      PATH: process.env["PATH"] ?? "",
      FOLDER: folder,
      ADDRESS: JSON.stringify(options.socket ? { port: 0, name: "web" } : `127.0.0.1:${port}`),
      OPTIONS: JSON.stringify(options.options ?? {}),
      NODE_COMPILE_CACHE: options.user === "unprivileged"
        ? ""
        : process.env["NODE_COMPILE_CACHE"] ?? "",
      NO_COLOR: "1",
    };
    const quoted = (text: string) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
    const reload = runtime.command(cli, ["upgrade", "--control", join(folder, "control.sock")]);
    await manager.install({
      "app.service": [
        "[Service]",
        "Type=notify",
        "NotifyAccess=all",
        `ExecStart=${runtime.command(fixture).join(" ")}`,
        `ExecReload=${reload.join(" ")}`,
        "Restart=on-failure",
        "RestartSec=100ms",
        "TimeoutStopSec=60",
        `StandardOutput=append:${folder}/output`,
        `StandardError=append:${folder}/output`,
        ...Object.entries(environment).filter(([, value]) => value !== "").map(([name, value]) =>
          `Environment=${quoted(`${name}=${value}`)}`
        ),
        ...options.service ?? [],
        "",
      ].join("\n"),
      ...(options.socket
        ? {
          "app.socket": `[Socket]\nListenStream=127.0.0.1:${port}\nFileDescriptorName=web\n`,
        }
        : {}),
    });
    return service;
  }

  /** What it wrote in its folder, for messages. */
  get notes(): string {
    return this.#read("notes");
  }

  get output(): string {
    return this.#read("output");
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.folder, name), "utf8");
    } catch {
      return "";
    }
  }

  /** Runs a verb. @returns Its exit code. */
  async verb(name: string, unit = "app.service"): Promise<number> {
    return (await this.manager.systemctl(name, unit)).code;
  }

  async succeeds(name: string, unit = "app.service"): Promise<void> {
    const { code, output } = await this.manager.systemctl(name, unit);
    assert.equal(code, 0, `${name}: ${output}\n${this.output}\n${this.manager.log}`);
  }

  async show(...names: readonly string[]): Promise<Record<string, string>> {
    return await this.manager.show("app.service", ...names);
  }

  /** Which generation serves, and its process id. */
  async ask(): Promise<{ generation: number; pid: number }> {
    const { text } = await get({ host: "127.0.0.1", port: this.port });
    const [generation, pid] = text.split(" ").map(Number);
    return { generation: generation!, pid: pid! };
  }

  /** Waits until a property has a value. */
  async becomes(name: string, value: string): Promise<void> {
    await until(`${name} is ${value}`, async () => (await this.show(name))[name] === value, 60_000)
      .catch(async (error) => {
        const state = JSON.stringify(await this.show("ActiveState", "SubState", "MainPID", name));
        throw new Error(
          `${error.message}: ${state}\n${this.notes}\n${this.output}\n${this.manager.log}`,
        );
      });
  }

  /** Waits until this process is the main process of the active unit. */
  async isMain(pid: number): Promise<void> {
    await this.becomes("MainPID", String(pid));
    await this.becomes("ActiveState", "active");
  }

  /** Waits until this process is the main process, its parent is gone and systemd has taken note of it. */
  async isAlone(pid: number): Promise<void> {
    await until("it is alone", async () => {
      const { StatusText, MainPID } = await this.show("StatusText", "MainPID");
      return MainPID === String(pid) && / serves alone$/.test(StatusText ?? "");
    }, 60_000);
  }

  file(name: string): void {
    writeFileSync(join(this.folder, name), "");
  }

  async ended(pid: number): Promise<void> {
    await until(`process ${pid} has ended`, () => !isRunning(pid), 60_000);
  }
}

/** A request that is answered when there is a file "go". */
async function hold(service: Service): Promise<{ readonly answer: Promise<string> }> {
  const before = service.notes.split("holds").length;
  const answer = get({ host: "127.0.0.1", port: service.port }, "/hold").then(({ text }) => text);
  answer.catch(() => {});
  await until("it is being answered", () => service.notes.split("holds").length > before, 60_000);
  return { answer };
}

for (const user of ["root", "unprivileged"] as const) {
  const skip = user === "root" ? skipSystemd : skipUnprivileged;

  test(
    `a service stays active through upgrades, tells how they ended, and stops gracefully (${user})`,
    {
      skip,
      timeout: LIMIT_MS,
    },
    async (t) => {
      const service = await Service.install(t, { user, service: ["WatchdogSec=120"] });
      await service.succeeds("start");
      let { generation, pid } = await service.ask();
      assert.equal(generation, 1);
      await service.isMain(pid);
      assert.match(
        (await service.show("StatusText"))["StatusText"]!,
        /^Generation 1 \(.*\) serves$/,
      );

      for (const next of [2, 3]) {
        await service.succeeds("reload");
        const successor = await service.ask();
        assert.equal(successor.generation, next, "when reload returns it is decided");
        await service.isMain(successor.pid);
        await service.ended(pid);
        assert.equal((await service.show("ActiveState"))["ActiveState"], "active");
        ({ generation, pid } = successor);
      }

      // What it says when the older one has left would come over what it says of the failure.
      await service.isAlone(pid);
      service.file("fail");
      const failed = await service.manager.systemctl("reload", "app.service");
      assert.notEqual(failed.code, 0, "the exit code tells of a failed upgrade");
      assert.deepEqual(await service.ask(), { generation: 3, pid });
      await service.isMain(pid);
      await until("the manager knows of the failure", async () => {
        const { StatusText = "" } = await service.show("StatusText");
        return /^Generation 3 .* serves; the upgrade failed: .*the file says so/.test(StatusText);
      });
      rmSync(join(service.folder, "fail"));
      const pinged = Number(
        (await service.show("WatchdogTimestampMonotonic"))["WatchdogTimestampMonotonic"],
      );
      assert.ok(pinged > 0, "the watchdog is answered");

      const held = await hold(service);
      const stopping = service.verb("stop");
      await service.becomes("ActiveState", "deactivating");
      service.file("go");
      assert.equal(await held.answer, `3 ${pid}`, "stop lets a request finish");
      assert.equal(await stopping, 0);
      const { ActiveState, Result, NRestarts } = await service.show(
        "ActiveState",
        "Result",
        "NRestarts",
      );
      assert.deepEqual({ ActiveState, Result, NRestarts }, {
        ActiveState: "inactive",
        Result: "success",
        NRestarts: "0",
      });
      assert.match(service.notes, new RegExp(`^${pid} left 3 stopped 0$`, "m"));
    },
  );

  test(`a service that crashes after an upgrade is started again (${user})`, {
    skip: skip || (user === "unprivileged" && runtime.runtime !== "bun" && "one runtime shows it"),
    timeout: LIMIT_MS,
  }, async (t) => {
    const service = await Service.install(t, { user });
    await service.succeeds("start");
    const first = await service.ask();
    const held = await hold(service);
    await service.succeeds("reload");
    const second = await service.ask();
    assert.equal(second.generation, 2);

    // While the old one drains.
    process.kill(second.pid, "SIGKILL");
    await service.becomes("NRestarts", "1");
    await service.becomes("ActiveState", "active");
    await Promise.allSettled([held.answer]);
    await service.ended(first.pid);
    const third = await service.ask();
    assert.equal(third.generation, 1);
    await service.isMain(third.pid);

    // When the old one is gone.
    await service.succeeds("reload");
    const fourth = await service.ask();
    await service.isAlone(fourth.pid);
    process.kill(fourth.pid, "SIGKILL");
    await service.becomes("NRestarts", "2");
    await service.becomes("ActiveState", "active");
    assert.equal((await service.ask()).generation, 1);
    await service.succeeds("stop");
  });
}

test("a socket unit loses no connection through upgrade, restart and kill", {
  skip: skipSystemd,
  timeout: LIMIT_MS,
}, async (t) => {
  const service = await Service.install(t, { socket: true, service: ["Restart=always"] });
  await service.succeeds("start", "app.socket");
  const asker = new Asker("http", { host: "127.0.0.1", port: service.port });
  const seen = (count: number) => () => asker.asked.lost.length > 0 || asker.asked.count >= count;
  try {
    await until("the first connection has started it", seen(1), 60_000);
    await service.succeeds("reload");
    const second = await service.ask();
    assert.equal(second.generation, 2);
    await service.isMain(second.pid);
    await service.isAlone(second.pid);
    await service.succeeds("restart");
    const third = await service.ask();
    assert.equal(third.generation, 1);
    assert.deepEqual(asker.asked.lost, []);
  } finally {
    assert.deepEqual((await asker.stop()).lost, []);
  }
  // A request that is being answered by a process that is killed is lost with it; connections in the queue are not.
  const { pid } = await service.ask();
  process.kill(pid, "SIGKILL");
  const waiting = await Promise.all(
    Array.from({ length: 5 }, () => get({ host: "127.0.0.1", port: service.port })),
  );
  assert.deepEqual(waiting.map(({ status }) => status), [200, 200, 200, 200, 200]);
  await service.becomes("NRestarts", "1");
});

test("with Type=notify-reload a reload returns when the upgrade is decided", {
  skip: skipSystemd ||
    (systemdVersion < 253 &&
      `systemd ${systemdVersion} has no Type=notify-reload, it came with 253`),
  timeout: LIMIT_MS,
}, async (t) => {
  const service = await Service.install(t, { service: ["Type=notify-reload", "ExecReload="] });
  await service.succeeds("start");
  const first = await service.ask();
  await service.succeeds("reload");
  const second = await service.ask();
  assert.equal(second.generation, 2, "when reload returns it is decided");
  await service.isAlone(second.pid);
  assert.equal(isRunning(first.pid), false);
  service.file("fail");
  await service.verb("reload");
  assert.deepEqual(await service.ask(), second);
  await service.isMain(second.pid);
  assert.match((await service.show("StatusText"))["StatusText"]!, /the upgrade failed: /);
  await service.succeeds("stop");
  assert.equal((await service.show("Result"))["Result"], "success");
});
