/**
 * Plays one row of the table with one pair of runtimes, under load, and looks at everything that has to hold.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Load, startLoad } from "../../bench/load/load.ts";
import { askOnce } from "../support/askers.ts";
import { Chain, until } from "../support/chain.ts";
import type { Pair } from "../support/runtimes.ts";
import { descriptors, endMarked, forbidden, hasEnded, isStopped, MARK, marked } from "./checks.ts";
import type { Scene } from "./fixture.ts";
import type { ManualTimer } from "./interpose.ts";
import type { Row, Step } from "./row.ts";
import { breakWorld, type Broken, mount, mountProblem, needsMount, unmount } from "./world.ts";

const script: string = fileURLToPath(new URL("./fixture.ts", import.meta.url));
const CLIENTS = { keepAlive: 3, oneShot: 1, post: 2 };
const PROBE_MS = 25;
const TIMERS: { readonly [step in Step]?: ManualTimer } = {
  "deadline": "upgrade",
  "probation is over": "probation",
  "patience is over": "patience",
};

/** How a row is played. */
export interface PlayOptions {
  readonly server?: Scene["server"];
  /** How many further sockets it listens on. */
  readonly more?: number;
}

/** Why a row cannot be played here; `undefined` where it can. */
export function problem(row: Row): string | undefined {
  if (process.platform !== "linux") return "processes are looked at through /proc";
  if (!needsMount(row.trouble)) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "co-fault-"));
  try {
    return mountProblem(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Plays a row.
 *
 * @throws {Error} When something does not hold.
 */
export async function play(row: Row, pair: Pair, options: PlayOptions = {}): Promise<void> {
  const player = new Player(row, pair, options);
  try {
    await player.run();
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${player.story()}`, { cause: error });
  } finally {
    await player.end();
  }
}

class Player {
  readonly #row: Row;
  readonly #pair: Pair;
  readonly #options: PlayOptions;
  readonly #mark = crypto.randomUUID();
  readonly #folder = mkdtempSync(join(tmpdir(), "co-fault-"));
  readonly #run = join(this.#folder, "run");
  readonly #goOn = join(this.#folder, "go-on");
  readonly #friends = new Map<string, net.Socket>();
  readonly #isMounted: boolean;
  #chain!: Chain;
  #port = 0;
  #load: Load | undefined;
  #loadBegan = 0;
  #broken: Broken = { mend: () => {} };
  #told = 0;
  /** When the last killed process was known to be gone. */
  #goneAt: number | undefined;
  #loadOver = false;

  constructor(row: Row, pair: Pair, options: PlayOptions) {
    this.#row = row;
    this.#pair = pair;
    this.#options = options;
    this.#isMounted = needsMount(row.trouble);
    mkdirSync(this.#run);
    if (this.#isMounted) mount(this.#run);
  }

  async run(): Promise<void> {
    const row = this.#row;
    const parent = await this.#start();
    const before = await this.#settledDescriptors(parent);
    await this.#startLoad();
    this.#broken = breakWorld(row.trouble, { pid: parent, run: this.#run, folder: this.#folder });
    this.#order("parent", {
      do: "upgrade",
      options: {
        command: this.#broken.command ??
          [...this.#broken.wrapper ?? [], ...this.#pair.child.command(script)],
        env: { ROLE: "child" },
      },
    });
    for (const step of this.#steps()) await this.#step(step);
    await this.#allTold();
    if (row.owner === "nobody") return await this.#everythingIsGone();

    const owner = await this.#ownerIsAlone();
    this.#broken.mend();
    if (!existsSync(this.#run)) mkdirSync(this.#run);
    await this.#loadIsRight();
    if (row.owner === "parent") {
      await this.#noMoreThan(owner, before, "before the upgrade");
    }
    const after = await this.#settledDescriptors(owner);
    const newest = await this.#upgradeOnce(row.owner);
    if (row.owner === "child") {
      const clean = await this.#settledDescriptors(newest);
      assert.ok(
        after.length <= clean.length,
        `the child holds more descriptors than its successor: ${
          JSON.stringify({ after, clean }, null, 1)
        }`,
      );
    }
    process.kill(newest, "SIGTERM");
    await this.#everythingIsGone();
  }

  /** What was said, for whoever reads why it failed. */
  story(): string {
    const said = this.#chain?.said.map((line) => JSON.stringify(line)).join("\n");
    return `said was:\n${said}\nstderr was:\n${this.#chain?.errors}`;
  }

  async end(): Promise<void> {
    for (const friend of this.#friends.values()) friend.destroy();
    endMarked(this.#mark);
    await this.#load?.stop();
    await this.#chain?.end();
    await until("every process of the row has ended", () => {
      // One may have been starting another.
      endMarked(this.#mark);
      return marked(this.#mark).length === 0;
    });
    if (this.#isMounted) unmount(this.#run);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #steps(): readonly Step[] {
    const { fault, steps, told } = this.#row;
    return steps ?? [
      ...(fault === undefined ? [] : ["struck" as const]),
      ...told.map(() => "told" as const),
    ];
  }

  async #start(): Promise<number> {
    for (let attempt = 1;; attempt++) {
      this.#port = await freePort();
      const scene: Scene = {
        fault: this.#row.fault,
        probation: this.#row.probation ?? false,
        server: this.#options.server ?? "native",
        port: this.#port,
        more: this.#options.more ?? 0,
        run: this.#run,
        goOn: this.#goOn,
      };
      this.#chain = new Chain({
        runtime: this.#pair.parent,
        script,
        env: { SCENE: JSON.stringify(scene), [MARK]: this.#mark, ROLE: "parent" },
      });
      const ready = await Promise.race([
        this.#chain.event("ready"),
        new Promise<undefined>((resolve) =>
          this.#chain.first.once("exit", () => resolve(undefined))
        ),
      ]);
      if (ready !== undefined) {
        await this.#befriend("parent");
        return ready.pid;
      }
      // Somebody else took the port in the meantime.
      if (attempt === 5 || !/in use/i.test(this.#chain.errors)) {
        throw new Error(`The first generation did not start: ${this.#chain.errors}`);
      }
      await this.#chain.end();
    }
  }

  /** A connection by which a process takes orders. */
  async #befriend(role: string): Promise<void> {
    const { orders } = await this.#said("created", role);
    const friend = net.connect(orders, "127.0.0.1");
    friend.on("error", () => {});
    await new Promise<void>((resolve) => friend.once("connect", resolve));
    this.#friends.set(role, friend);
    // From here on the connection is one of its descriptors; connected means only that it waits to be accepted.
    this.#order(role, { do: "status" });
    await this.#said("status", role);
  }

  #order(role: string, order: object): void {
    this.#friends.get(role)?.write(JSON.stringify(order) + "\n");
  }

  async #said(
    event: string,
    role: string,
  ): Promise<{ readonly pid: number; readonly orders: number }> {
    const find = () =>
      this.#chain.said.find((said) => said.event === event && said["role"] === role);
    await until(`the ${role} says "${event}"`, () => find() !== undefined, 60_000);
    return find() as unknown as { pid: number; orders: number };
  }

  async #startLoad(): Promise<void> {
    this.#loadBegan = performance.now();
    this.#load = startLoad({
      target: { port: this.#port, hostname: "127.0.0.1" },
      // A connection that comes when no descriptor is left is refused by the runtime itself.
      ...(this.#row.trouble === "no descriptor left" ? { keepAlive: 3, post: 2 } : CLIENTS),
      proberMs: this.#row.trouble === "no descriptor left" ? 0 : PROBE_MS,
      thinkMs: 10,
      timeoutMs: 60_000,
      maxMs: 300_000,
    });
    // Every client has its connection before anything happens.
    await until("the load is answered", () => this.#load!.snapshot().answered >= 20);
  }

  async #step(step: Step): Promise<void> {
    const { fault } = this.#row;
    switch (step) {
      case "struck": {
        const { pid } = await this.#said("struck", fault!.who);
        if (fault!.act === "is stopped") await until("it is stopped", () => isStopped(pid));
        if (/killed/.test(fault!.act)) await this.#isGone(pid);
        return;
      }
      case "serves":
        for (let n = 0; n < 3; n++) await this.#ask();
        return;
      case "child serves":
        await until("the child serves", async () => await this.#ask() === "2");
        return;
      case "deadline":
      case "probation is over":
      case "patience is over":
        return this.#order("parent", { do: "fire", timer: TIMERS[step] });
      case "continue": {
        writeFileSync(this.#goOn, "");
        const { pid } = await this.#said("struck", fault!.who);
        if (fault!.act === "is stopped") process.kill(pid, "SIGCONT");
        return;
      }
      case "asks again":
        return this.#order("parent", { do: "upgrade" });
      case "told": {
        const expected = this.#row.told[this.#told];
        this.#told++;
        await until(
          `the caller is told ${expected}`,
          () => this.#tellings().length >= this.#told,
          60_000,
        );
        return;
      }
      case "stop":
        return this.#order("parent", { do: "stop" });
      case "kill": {
        const { pid } = await this.#said("struck", fault!.who);
        process.kill(pid, "SIGKILL");
        return await this.#isGone(pid);
      }
      case "load ends":
        this.#loadOver = true;
        // What waits in the queue of a socket is lost when its last owner closes it.
        this.#goneAt = performance.now();
        void this.#load?.stop();
        return;
    }
  }

  #tellings(): string[] {
    return this.#chain.said.filter(({ event }) => event === "told").map((said) => said["code"]);
  }

  async #allTold(): Promise<void> {
    const { told } = this.#row;
    await until("the caller is told everything", () => this.#tellings().length >= told.length);
    assert.deepEqual(this.#tellings(), told, "the caller is told what happened, once");
  }

  async #isGone(pid: number): Promise<void> {
    await until(`process ${pid} is gone`, () => hasEnded(pid));
    this.#goneAt = performance.now();
  }

  #ask(): Promise<string> {
    return askOnce("http", { port: this.#port, host: "127.0.0.1" });
  }

  async #ownerIsAlone(): Promise<number> {
    const { owner, lost, fault } = this.#row;
    const pid = (await this.#said("created", owner)).pid;
    if (owner === "child") {
      await this.#said("ready", "child");
      await this.#befriend("child");
    }
    await until(
      `only the ${owner} is left`,
      () => marked(this.#mark).every((other) => other === pid),
      60_000,
    );
    // Whoever is gone by now was killed by the parent, or left a queue that nobody could take over.
    if (lost === "queue" || fault?.act === "is stopped") this.#goneAt = performance.now();
    await until("the owner says that it serves", async () => {
      this.#order(owner, { do: "status" });
      await new Promise((resolve) => setTimeout(resolve, 20));
      const states = this.#chain.said.filter((said) => said.event === "status" && said.pid === pid);
      return states.at(-1)?.["state"] === "serving";
    });
    const generations = new Set<string>();
    if (this.#row.trouble !== "no descriptor left") {
      for (let n = 0; n < 3; n++) generations.add(await this.#ask());
      assert.equal(generations.size, 1, "one generation answers");
    }
    if (!this.#broken.namesGone && !this.#row.fault?.act.startsWith("loses")) {
      assert.equal(readFileSync(join(this.#run, "app.pid"), "utf8"), `${pid}\n`);
      const answer = await askOnce("tcp", { path: join(this.#run, "app.sock") });
      assert.ok(this.#row.trouble === "no descriptor left" || generations.has(answer));
      assert.deepEqual(
        readdirSync(this.#run).filter((name) => name !== "fill").sort(),
        ["app.pid", "app.sock", "control.sock"],
        "nothing else lies in the folder",
      );
    }
    return pid;
  }

  async #loadIsRight(): Promise<void> {
    const report = await this.#load!.stop();
    const { keepAlive, oneShot, post } = CLIENTS;
    const wrong = forbidden(
      report,
      this.#loadBegan,
      this.#row.lost === "none" ? undefined : {
        until: this.#goneAt ?? 0,
        connections: keepAlive + oneShot + post,
        refused: this.#row.lost === "queue",
      },
    );
    assert.deepEqual(wrong, [], "no request is lost but inside a killed process");
    assert.ok(report.answered > 0, "the load was answered");
  }

  /** The survivor is none the worse for it. @returns The process id of its successor. */
  async #upgradeOnce(owner: string): Promise<number> {
    const before = this.#tellings().length;
    const old = (await this.#said("created", owner)).pid;
    this.#order(owner, {
      do: "upgrade",
      options: { command: this.#pair.child.command(script), env: { ROLE: "later" } },
    });
    if (this.#row.probation) {
      await this.#said("ready", "later");
      this.#order(owner, { do: "fire", timer: "probation" });
    }
    await until("the next upgrade ends", () => this.#tellings().length > before, 60_000);
    assert.equal(this.#tellings().at(-1), "upgraded", "the next upgrade succeeds");
    await until("the one before is gone", () => hasEnded(old));
    const { pid } = await this.#said("created", "later");
    await this.#befriend("later");
    assert.equal(readFileSync(join(this.#run, "app.pid"), "utf8"), `${pid}\n`);
    return pid;
  }

  async #everythingIsGone(): Promise<void> {
    await until("every process has ended", () => marked(this.#mark).length === 0, 60_000);
    assert.deepEqual(readdirSync(this.#run), [], "nothing lies in the folder");
    if (this.#loadOver) await this.#loadIsRight();
    await assert.rejects(this.#ask(), "nobody listens any more");
  }

  /** The descriptors once those of visitors are closed. */
  async #settledDescriptors(pid: number): Promise<string[]> {
    let fewest = descriptors(pid);
    let looks = 0;
    // A connection takes a moment to be closed: the count that holds for ten looks.
    await until("the number of descriptors holds", () => {
      const now = descriptors(pid);
      looks = now.length === fewest.length ? looks + 1 : 0;
      fewest = now;
      return looks >= 10;
    });
    return fewest;
  }

  async #noMoreThan(pid: number, before: readonly string[], when: string): Promise<void> {
    try {
      await until("no descriptor is left", () => descriptors(pid).length <= before.length);
    } catch {
      assert.deepEqual(descriptors(pid), before, `the descriptors are those from ${when}`);
    }
  }
}

/** A port outside of those that the system gives away, so that nobody gets it by chance. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = net.createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
