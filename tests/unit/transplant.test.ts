// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { current, runtimes, type TestRuntime } from "../support/runtimes.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const childFixture = fixture("transplant_child.ts");

/** C calls come with these; on older Node only with koffi. */
const capable = runtimes.filter(({ name, runtime }) => runtime !== "node" || name === "node26");
const parent = capable.find(({ name }) => name === current().name);
const skip = process.platform !== "linux"
  ? "transplants need Linux"
  : parent === undefined
  ? `${current().name} has no C calls of its own`
  : false;

const folder = mkdtempSync(join(tmpdir(), "changeover-"));
after(() => rmSync(folder, { recursive: true }));
const env = { ...process.env, TEST_CERT: join(folder, "cert"), TEST_KEY: join(folder, "key") };

let noTls: string | undefined;
before(() => {
  try {
    const type = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    const files = ["-keyout", env.TEST_KEY, "-out", env.TEST_CERT];
    const args = ["req", "-x509", ...type, "-nodes", ...files, "-subj", "/CN=localhost"];
    execFileSync("openssl", args, { stdio: "ignore" });
  } catch {
    noTls = "openssl is not here to make a certificate";
  }
});

function run(command: readonly string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const [file = "", ...args] = command;
    execFile(file, args, { env, timeout: 110_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout));
      else reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
    });
  });
}

interface Child {
  readonly kind: string;
  readonly runtime: TestRuntime;
  /** The server is given a decoy as `fd` instead of a placeholder's address. */
  readonly how?: "decoy";
}

interface Round {
  readonly command: readonly string[];
  readonly closedInherited: boolean;
  readonly early: number;
  readonly strangers: readonly string[];
  readonly answers: number;
  readonly pausedHeld: boolean;
  readonly remaining: number;
  readonly left: number;
  readonly drained: boolean;
  readonly idleCpuMs: number;
  readonly stoppedCpuMs: number;
  readonly exitCode: number | null;
  readonly nonBlocking: boolean;
}

async function rounds(
  family: "inet" | "inet6" | "unix" | "udp",
  tls: boolean,
  children: readonly Child[],
  count: number,
): Promise<void> {
  const commands = children.map(({ kind, runtime, how }) => {
    const flags = runtime.runtime === "node" ? ["--no-warnings"] : [];
    return runtime.command(childFixture, [kind, how ?? "placeholder"], flags);
  });
  const options = JSON.stringify({ family, tls, rounds: count, children: commands });
  const flags = parent?.runtime === "node" ? ["--no-warnings"] : [];
  const command = parent?.command(fixture("transplant_parent.ts"), [options], flags) ?? [];
  const seen = await run(command) as readonly Round[];
  assert.equal(seen.length, count);
  for (const round of seen) {
    const { command: kind, answers, idleCpuMs, stoppedCpuMs, ...rest } = round;
    const checked = Object.fromEntries(
      Object.entries(rest).filter(([key]) => key !== "pid" && key !== "ms"),
    );
    assert.deepEqual(checked, {
      closedInherited: true,
      early: 0, // nothing was accepted before resume
      strangers: [], // every request was answered by this child
      pausedHeld: true,
      remaining: 0, // no registration after retire, nor after the server's own stop
      left: 0,
      drained: true, // the open connection was served on
      exitCode: 0,
      nonBlocking: true,
    }, kind.join(" "));
    assert.ok(answers >= 12);
    // A registration left behind on a queue that is not empty would take all of the 150 ms.
    assert.ok(idleCpuMs < 75, `${kind} idle: ${idleCpuMs} ms`);
    assert.ok(stoppedCpuMs < 75, `${kind} stopped: ${stoppedCpuMs} ms`);
  }
}

function on(runtime: TestRuntime["runtime"], ...kinds: readonly string[]): Child[] {
  return capable.filter((it) => it.runtime === runtime)
    .flatMap((runtime) => kinds.map((kind) => ({ kind, runtime })));
}

const everywhere = (kind: string, how?: "decoy"): Child[] =>
  capable.map((runtime) => ({ kind, runtime, ...(how === undefined ? {} : { how }) }));

const plain = [
  ...on("bun", "Bun.serve", "Bun.listen"),
  ...on("deno", "Deno.serve", "Deno.listen"),
  ...everywhere("node:http"),
  ...everywhere("node:net"),
];

test("transplant() loses nobody in rounds of all servers on IPv4", {
  skip,
  timeout: 120_000,
}, () => rounds("inet", false, plain, 8));

test("transplant() loses nobody when the socket is dual-stack", {
  skip,
  timeout: 120_000,
}, () => rounds("inet6", false, plain, plain.length));

test("transplant() loses nobody when the socket is a Unix socket", {
  skip,
  timeout: 120_000,
}, () => rounds("unix", false, plain, plain.length));

test("transplant() loses nobody when the server speaks TLS", {
  skip,
  timeout: 120_000,
}, async (t) => {
  if (noTls !== undefined) return t.skip?.(noTls);
  const secure = [
    ...on("bun", "Bun.serve tls"),
    ...on("deno", "Deno.serve tls", "Deno.listenTls"),
    ...everywhere("node:https"),
  ];
  await rounds("inet", true, secure, secure.length);
});

test("transplant() loses no datagram", { skip, timeout: 120_000 }, () => {
  const children = [...on("bun", "Bun.udpSocket"), ...everywhere("node:dgram")];
  return rounds("udp", false, children, children.length);
});

test("transplant() works when a server took a decoy by its descriptor", {
  skip,
  timeout: 120_000,
}, () => {
  const children = [
    ...everywhere("node:http", "decoy").filter(({ runtime }) => runtime.runtime !== "bun"),
    ...everywhere("node:net", "decoy"),
  ];
  return rounds("inet", false, children, children.length);
});

for (const runtime of capable) {
  test(`transplant.ts refuses with what it saw (${runtime.name})`, {
    skip: process.platform !== "linux" && "transplants need Linux",
    timeout: 60_000,
  }, async () => {
    const said = await run(runtime.command(fixture("transplant_doubts.ts"))) as object;
    const refused = (why: string) => `ERR_ADOPT Cannot take over the socket: ${why}`;
    assert.deepEqual(said, {
      noneFound: refused("no new stream socket is bound where it was expected; new are: none"),
      elsewhere: refused(
        "no new stream socket is bound where it was expected; new are: N.N.N.N:N (fd N)",
      ),
      otherPort: refused(
        "no new stream socket is bound where it was expected; new are: N.N.N.N:N (fd N)",
      ),
      noDatagram: refused("no new datagram socket is bound where it was expected; new are: none"),
      found: "none",
      twoFound: refused(
        "more than one new stream socket fits; new are: N.N.N.N:N (fd N), N.N.N.N:N (fd N)",
      ),
      otherFamily: refused(
        "the server has an inet stream socket, inherited is an inet6 stream socket",
      ),
      otherType: refused(
        "the server has an inet stream socket, inherited is an inet datagram socket",
      ),
      notListening: refused("inherited is an inet stream socket that does not listen"),
      notRegistered: refused("the event loop does not wait for descriptor N"),
      notOpen: refused("descriptor N is not open"),
      untouched: [true, true, true],
      pauseTwice: refused("the event loop does not wait for descriptor N"),
      resumeTwice: refused("descriptor N cannot be registered again"),
      neverRegistered: refused("the event loop does not wait for descriptor N"),
      asItWas: true,
      resumeRetired: refused("descriptor N refers to socket N instead of N"),
      retireTwice: "none",
      retireClosed: refused("descriptor N is not open"),
    });
  });
}
