// Runs on: node22, node26, deno, bun
import assert from "node:assert/strict";
import dgram from "node:dgram";
import { once } from "node:events";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Chain, isRunning, until } from "../support/chain.ts";
import { current, testPairs, type TestRuntime } from "../support/runtimes.ts";

const script = fileURLToPath(new URL("../fixtures/udp.ts", import.meta.url));
const NAMES = ["v4", "v6", "every", "native"];

/** How many datagrams may be unanswered: a socket's buffer holds about 270 small ones. */
const WINDOW = 100;

const flagsOf = ({ runtime }: TestRuntime) => runtime === "deno" ? ["--unstable-net"] : [];

/** Sends numbered datagrams, one each millisecond, and remembers who answered which. */
class Sender {
  readonly socket: dgram.Socket;
  /** Answers to each number, in order. */
  readonly answers: string[][] = [];
  /** How many datagrams were answered by each generation. */
  readonly by = [0, 0, 0];
  /** Answers to anything else. */
  readonly others: string[] = [];
  readonly #send: (text: string) => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(host: string, port: number) {
    this.socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
    this.#send = (text) => this.socket.send(text, port, host);
    this.socket.on("message", (message) => {
      const [generation = "", text = ""] = String(message).split(" ");
      const answered = this.answers[Number(text)];
      if (answered === undefined) return void this.others.push(String(message));
      if (answered.push(generation) === 1) this.by[Number(generation)]! += 1;
    });
  }

  get unanswered(): number {
    return this.answers.filter((answers) => answers.length === 0).length;
  }

  send(text = String(this.answers.push([]) - 1)): void {
    this.#send(text);
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (this.unanswered < WINDOW) this.send();
    }, 1);
  }

  pause(): void {
    clearInterval(this.#timer);
  }

  close(): void {
    this.pause();
    this.socket.close();
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket("udp6");
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind(port, () => socket.close(() => resolve(true)));
  });
}

function portOf(chain: Chain, name: string): number {
  return (chain.address(name) as { port: number }).port;
}

/** One for each family of each socket. */
function senders(chain: Chain): Sender[] {
  return NAMES.flatMap((name) => {
    const hosts = name === "v4" ? ["127.0.0.1"] : name === "v6" ? ["::1"] : ["127.0.0.1", "::1"];
    return hosts.map((host) => new Sender(host, portOf(chain, name)));
  });
}

testPairs(
  "UDP sockets pass to the successor, and each datagram is read once and answered",
  async ({ parent, child }) => {
    const chain = new Chain({ runtime: parent, script, flags: flagsOf(parent) });
    const greeted = new Sender("::1", 0);
    let all: Sender[] = [];
    try {
      greeted.socket.bind(0, "::1");
      await once(greeted.socket, "listening");
      const first = await chain.event("ready", 1);
      all = senders(chain);
      // What was read before the upgrade is answered by who read it. One queue: what was sent later is read later.
      for (const sender of all) {
        sender.send("last");
        sender.send();
      }
      await until("the first generation has read", () => all.every(({ by }) => by[1] === 1));
      for (const sender of all) sender.start();
      await until("it serves", () => all.every(({ by }) => by[1]! >= 100));

      const command = child.command(script, [], flagsOf(child));
      const env = { GREET: String(greeted.socket.address().port) };
      const answer = await chain.get("/", { command, env });
      assert.equal(answer.status, 200, answer.text + chain.errors);
      await until("the successor has sent before it was ready", () => greeted.others.length === 2);
      const second = await chain.event("ready", 2);
      assert.equal(second.runtime, child.runtime);
      assert.deepEqual(second.addresses, first.addresses, "every address is the same");
      assert.ok(first.addresses.slice(0, 4).every(({ kind }: { kind: string }) => kind === "udp"));

      await chain.event("exit", 1);
      for (const sender of all) sender.pause();
      const isReadBySuccessor = async () => {
        const before = all.map(({ by }) => by[1]);
        for (const sender of all) sender.send();
        await until("all are answered", () => all.every(({ unanswered }) => unanswered === 0));
        return all.every(({ by }, index) => by[1] === before[index]);
      };
      // Whoever is in the middle of reading goes on until the queue is empty.
      await until("the parent has stopped reading", isReadBySuccessor);
      for (let round = 0; round < 40; round += 1) assert.ok(await isReadBySuccessor());
      for (const sender of all) sender.start();
      process.kill(first.pid, "SIGUSR2");
      await chain.event("drained", 1);
      await until("the parent has ended by itself", () => !isRunning(first.pid));

      const enough = () => all.every(({ by, answers }) => by[2]! >= 100 && answers.length >= 350);
      await until("the successor serves", enough);
      for (const sender of all) sender.pause();
      await until("all are answered", () => all.every(({ unanswered }) => unanswered === 0));
      for (const { answers, others } of all) {
        assert.ok(answers.every(({ length }) => length === 1), "each is answered once");
        assert.deepEqual(others, ["1 last"]);
      }

      process.kill(second.pid, "SIGTERM");
      assert.equal((await chain.event("exit", 2)).reason, "stopped");
      await until("the successor has ended by itself", () => !isRunning(second.pid));
      assert.equal(chain.errors.replace(/^\[?changeover.*\n/gm, ""), "");
      await until("the port is free", () => isFree(portOf(chain, "every")));
    } finally {
      greeted.close();
      for (const sender of all) sender.close();
      await chain.end();
    }
  },
);

testPairs(
  "a successor reads no datagram before it is ready, so that its failure loses none",
  async ({ parent, child }) => {
    const chain = new Chain({ runtime: parent, script, flags: flagsOf(parent) });
    let all: Sender[] = [];
    try {
      await chain.event("ready", 1);
      all = senders(chain);
      const command = child.command(script, [], flagsOf(child));
      const upgrade = chain.get("/", { command, env: { MODE: "never-ready" } });
      const { pid } = await chain.event("bound", 2);
      for (const sender of all) sender.start();
      await until("they are served", () => all.every(({ by }) => by[1]! >= 100));
      process.kill(pid, "SIGKILL");
      assert.equal((await upgrade).json.code, "ERR_CHILD_EXITED");
      await until("they are served", () => all.every(({ by }) => by[1]! >= 200));
      for (const sender of all) sender.pause();
      await until("all are answered", () => all.every(({ unanswered }) => unanswered === 0));
      for (const { answers } of all) {
        assert.ok(answers.every((by) => by.join() === "1"), "once, by the first generation");
      }
    } finally {
      for (const sender of all) sender.close();
      await chain.end();
    }
  },
);

testPairs(
  "a successor with a socket of another family fails with ERR_ADOPT, and the parent goes on",
  async ({ parent, child }) => {
    const chain = new Chain({ runtime: parent, script, flags: flagsOf(parent) });
    let all: Sender[] = [];
    try {
      await chain.event("ready", 1);
      all = senders(chain);
      const command = child.command(script, [], flagsOf(child));
      const answer = await chain.get("/", { command, env: { MODE: "other-family" } });
      assert.equal(answer.json.code, "ERR_CHILD_FAILED");
      assert.match(answer.json.message, /its type is "udp6", and the inherited one is "udp4"/);
      assert.equal((await chain.event("error", 2)).code, "ERR_ADOPT");
      for (const sender of all) sender.send();
      await until("all are answered", () => all.every(({ by }) => by[1] === 1));
    } finally {
      for (const sender of all) sender.close();
      await chain.end();
    }
  },
);

test("a UDP port in use is ERR_ADDRESS, a path as well", { timeout: 60_000 }, async () => {
  const taken = dgram.createSocket("udp4").bind(0, "127.0.0.1");
  await once(taken, "listening");
  const where = `127.0.0.1:${taken.address().port}`;
  for (
    const [bind, message] of [
      [where, new RegExp(`Cannot listen on ${where}: the address is in use`)],
      ["unix:/tmp/app.sock", /Cannot bind unix:\/tmp\/app.sock: only UDP is supported/],
    ] as const
  ) {
    const chain = new Chain({ runtime: current(), script, env: { BIND: bind } });
    try {
      const said = await chain.event("error", 1);
      assert.equal(said.code, "ERR_ADDRESS");
      assert.match(said.message, message);
    } finally {
      await chain.end();
    }
  }
  taken.close();
});
