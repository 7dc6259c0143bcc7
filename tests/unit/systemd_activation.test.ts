// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AddressInput, BoundAddress } from "../../src/address.ts";
import { parseAddress, parseDatagramAddress } from "../../src/address.ts";
import { parseInternet, parseUnix } from "../../src/backend/proc_net.ts";
import { Activation } from "../../src/systemd/activation.ts";
import { passedDescriptors } from "../../src/systemd/variables.ts";
import { fakeBackend } from "../../src/testing/mod.ts";
import { Upgrader } from "../../src/upgrader.ts";
import { FakeServer } from "../support/fake_app.ts";

const tcp = (hostname: string, port: number): BoundAddress => ({ kind: "tcp", hostname, port });

describe("the variables of socket activation", () => {
  const read = (env: Record<string, string>) => {
    const warnings: string[] = [];
    return { passed: passedDescriptors(env, 42, (text) => warnings.push(text)), warnings };
  };

  test("name the descriptors from 3 on", () => {
    const names = { LISTEN_PID: "42", LISTEN_FDS: "2", LISTEN_FDNAMES: "web:app.socket" };
    assert.deepEqual(read(names).passed, [{ fd: 3, name: "web" }, { fd: 4, name: "app.socket" }]);
    assert.deepEqual(read({ LISTEN_PID: "42", LISTEN_FDS: "1" }).passed, [
      { fd: 3, name: "unknown" },
    ]);
    assert.deepEqual(read({ LISTEN_PID: "42", LISTEN_FDS: "0" }), { passed: [], warnings: [] });
    assert.deepEqual(read({}), { passed: [], warnings: [] });
  });

  test("for another process pass nothing and are warned of", () => {
    const { passed, warnings } = read({ LISTEN_PID: "41", LISTEN_FDS: "2" });
    assert.deepEqual(passed, []);
    assert.match(warnings.join(), /meant for process 41 and this is 42.*without npm/);
    assert.match(read({ LISTEN_FDS: "2" }).warnings.join(), /LISTEN_PID is not/);
  });

  test("that cannot be read say which and why", () => {
    const refused = (env: Record<string, string>) => {
      try {
        read({ LISTEN_PID: "42", LISTEN_FDS: "1", ...env });
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        assert.equal(code, "ERR_PROTOCOL");
        return message;
      }
      throw new Error("nothing was refused");
    };
    for (const LISTEN_FDS of ["", "-1", "1.5", "two", " 1", "1048577", "99999999999999999999"]) {
      assert.match(refused({ LISTEN_FDS }), /LISTEN_FDS is ".*", which is no number/);
    }
    assert.match(refused({ LISTEN_PID: "me" }), /LISTEN_PID is "me"/);
    assert.match(refused({ LISTEN_FDNAMES: "a:b" }), /has 2 names for 1 descriptors/);
    assert.ok(refused({ LISTEN_FDS: "x".repeat(10_000) }).length < 500);
  });
});

describe("a passed socket", () => {
  const claim = (passed: readonly [string, BoundAddress][], address: AddressInput, udp = false) => {
    const sockets = passed.map(([name, bound], index) => ({ fd: 3 + index, name, bound }));
    const parsed = udp ? parseDatagramAddress(address) : parseAddress(address);
    return new Activation(sockets, []).claim(parsed)?.fd;
  };

  test("is found by where it is bound, however that is spelt", () => {
    const passed: [string, BoundAddress][] = [
      ["app.socket", tcp("::", 80)],
      ["app.socket", tcp("127.0.0.1", 81)],
      ["app.socket", tcp("0.0.0.0", 82)],
      ["app.socket", { kind: "unix", path: "/run/app.sock" }],
      ["app.socket", { kind: "udp", hostname: "::", port: 80 }],
      ["app.socket", tcp("::ffff:10.0.0.1", 83)],
    ];
    assert.equal(claim(passed, 80), 3);
    assert.equal(claim(passed, "[::]:80"), 3);
    assert.equal(claim(passed, "127.0.0.1:80"), undefined, "that is another socket");
    assert.equal(claim(passed, "localhost:81"), 4);
    assert.equal(claim(passed, 81), undefined);
    assert.equal(claim(passed, { port: 82, name: "mine" }), 5);
    assert.equal(claim(passed, "unix:/run//app.sock"), 6);
    assert.equal(claim(passed, "unix:/run/other.sock"), undefined);
    assert.equal(claim(passed, 80, true), 7);
    assert.equal(claim(passed, "10.0.0.1:83"), 8);
    assert.equal(claim(passed, { port: 0, name: "x" }), undefined, "port 0 names none");
  });

  test("is found by its name first, wherever it is bound", () => {
    const passed: [string, BoundAddress][] = [["a", tcp("::", 80)], ["b", tcp("::", 81)]];
    assert.equal(claim(passed, { port: 80, name: "b" }), 4);
    assert.equal(claim(passed, { port: 0, name: "a" }), 3);
  });

  test("whose name others have, too, is told from them by the address, or refused", () => {
    const passed: [string, BoundAddress][] = [
      ["dns", tcp("::", 53)],
      ["dns", { kind: "udp", hostname: "::", port: 53 }],
      ["web", tcp("::", 80)],
      ["web", tcp("::", 443)],
    ];
    assert.equal(claim(passed, { port: 0, name: "dns" }), 3);
    assert.equal(claim(passed, { port: 0, name: "dns" }, true), 4);
    assert.equal(claim(passed, { port: 443, name: "web" }), 6);
    assert.throws(() => claim(passed, { port: 8080, name: "web" }), {
      code: "ERR_ADDRESS",
      message: /2 sockets under it, on \[::\]:80, \[::\]:443/,
    });
    assert.throws(
      () => claim(passed, { path: "/run/x", name: "web" }),
      /a tcp socket .* not a unix/,
    );
  });

  test("of a kind that no server speaks is a raw descriptor", () => {
    const activation = new Activation([], [{ fd: 3, name: "log" }, { fd: 4, name: "log" }]);
    assert.deepEqual(activation.raw.map(({ fd, identity }) => `${fd} ${identity}`), [
      "3 fd:log",
      "4 fd:log.2",
    ]);
    const address = parseAddress({ port: 80, name: "log" });
    assert.throws(() => activation.claim(address), /fds\.take\("log"\)/);
  });
});

test("the kernel's tables tell where a socket is bound", () => {
  const head =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
  const tail = "00000000:00000000 00:00000000 00000000     0        0";
  const tcp4 = `${head}   0: 0100007F:1F90 00000000:0000 0A ${tail} 11 1 0 100\n` +
    `   1: 0100007F:1F90 0100007F:9999 01 ${tail} 12 1 0 100\n`;
  assert.deepEqual(parseInternet("tcp", tcp4, "11"), tcp("127.0.0.1", 8080));
  assert.equal(parseInternet("tcp", tcp4, "12"), "other");
  assert.equal(parseInternet("tcp", tcp4, "13"), undefined);
  const udp6 = `${head}   0: B80D0120000000000000000001000000:0035 0:0 07 ${tail} 7 2 0 0\n`;
  assert.deepEqual(parseInternet("udp", udp6, "7"), {
    kind: "udp",
    hostname: "2001:db8::1",
    port: 53,
  });
  const unix = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
    "0000000000000000: 00000002 00000000 00010000 0001 01    21 /run/my app.sock\n" +
    "0000000000000000: 00000002 00000000 00010000 0001 01    22 @abstract\n" +
    "0000000000000000: 00000003 00000000 00000000 0001 03    23\n" +
    "0000000000000000: 00000002 00000000 00000000 0002 01    24 /run/events\n";
  assert.deepEqual(parseUnix(unix, "21"), { kind: "unix", path: "/run/my app.sock" });
  assert.deepEqual(parseUnix(unix, "22"), { kind: "unix", path: "\0abstract" });
  assert.equal(parseUnix(unix, "23"), "other");
  assert.equal(parseUnix(unix, "24"), "other");
  assert.equal(parseUnix(unix, "2"), undefined);
});

test("an upgrader serves what was passed, passes it on as managed, and closes the rest at ready()", async () => {
  const pid = 4711;
  const env = {
    PATH: "/usr/bin:/bin",
    LISTEN_PID: `${pid}`,
    LISTEN_FDS: "3",
    LISTEN_FDNAMES: "web:a:log",
  };
  const fake = fakeBackend({ pid, env });
  fake.openSocket(tcp("127.0.0.1", 80));
  fake.openSocket({ kind: "unix", path: "/nowhere/a.sock" });
  fake.openFile("log");
  const warnings: string[] = [];
  const upgrader = await Upgrader.create({
    backend: fake.backend,
    logger: { info() {}, warn: (text) => void warnings.push(text), error() {} },
  });
  const left = Object.keys(fake.backend.env).filter((name) => name.startsWith("LISTEN_"));
  assert.deepEqual(left, []);
  await upgrader.listen({ port: 8080, name: "web" }, new FakeServer());
  await upgrader.ready();
  assert.deepEqual(upgrader.addresses.map(({ name }) => name), ["web"]);
  assert.deepEqual(
    fake.descriptors,
    ["3 tcp 127.0.0.1:80", "5 log"],
    "a file may be the runtime's",
  );
  assert.match(warnings[0] ?? "", /nobody claimed "a" \(unix unix:\/nowhere\/a\.sock\)/);
  assert.match(warnings[1] ?? "", /nobody claimed "log"/);
  void upgrader.upgrade().catch(() => {});
  const child = await fake.child();
  const [hello] = child.frames;
  assert.deepEqual(hello?.type === "hello" && hello.sockets, [
    { fd: 4, kind: "tcp", identity: "web", address: "127.0.0.1:80", managed: true },
  ]);
  await child.exit(1);
});
