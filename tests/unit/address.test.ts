import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Address,
  type AddressInput,
  type BoundAddress,
  formatAddress,
  identityOf,
  MAX_PATH_BYTES,
  parseAddress,
  parseBoundAddress,
  sameBound,
} from "../../src/address.ts";

function tcp(port: number, hostname?: string): Address {
  return { kind: "tcp", hostname, port };
}

function unix(path: string): Address {
  return { kind: "unix", path };
}

/** Spelling, address, identity, text for people. */
const accepted: [AddressInput, Address, string, string][] = [
  [8080, tcp(8080), "tcp:*:8080", ":8080"],
  ["8080", tcp(8080), "tcp:*:8080", ":8080"],
  [":8080", tcp(8080), "tcp:*:8080", ":8080"],
  [{ port: 8080 }, tcp(8080), "tcp:*:8080", ":8080"],
  [0, tcp(0), "tcp:*:0", ":0"],
  [-0, tcp(0), "tcp:*:0", ":0"],
  [65535, tcp(65535), "tcp:*:65535", ":65535"],
  ["127.0.0.1:8080", tcp(8080, "127.0.0.1"), "tcp:127.0.0.1:8080", "127.0.0.1:8080"],
  ["0.0.0.0:8080", tcp(8080, "0.0.0.0"), "tcp:0.0.0.0:8080", "0.0.0.0:8080"],
  ["[::]:8080", tcp(8080, "::"), "tcp:[::]:8080", "[::]:8080"],
  ["[::1]:8080", tcp(8080, "::1"), "tcp:[::1]:8080", "[::1]:8080"],
  ["[0:0::0:1]:8080", tcp(8080, "::1"), "tcp:[::1]:8080", "[::1]:8080"],
  [{ port: 8080, hostname: "::1" }, tcp(8080, "::1"), "tcp:[::1]:8080", "[::1]:8080"],
  [{ port: 8080, hostname: "[::1]" }, tcp(8080, "::1"), "tcp:[::1]:8080", "[::1]:8080"],
  ["localhost:80", tcp(80, "localhost"), "tcp:localhost:80", "localhost:80"],
  ["LocalHost:80", tcp(80, "localhost"), "tcp:localhost:80", "localhost:80"],
  [
    "a-b.example_1.com:1",
    tcp(1, "a-b.example_1.com"),
    "tcp:a-b.example_1.com:1",
    "a-b.example_1.com:1",
  ],
  ["unix:/run/app.sock", unix("/run/app.sock"), "unix:/run/app.sock", "unix:/run/app.sock"],
  ["unix:///run/.//app.sock", unix("/run/app.sock"), "unix:/run/app.sock", "unix:/run/app.sock"],
  [{ path: "/run/a b:c" }, unix("/run/a b:c"), "unix:/run/a b:c", "unix:/run/a b:c"],
];

describe("parseAddress", () => {
  for (const [input, address, identity, text] of accepted) {
    test(`reads ${JSON.stringify(input)} as ${text}, which is ${identity}`, () => {
      const parsed = parseAddress(input);
      assert.deepEqual(parsed, address);
      assert.equal(identityOf(parsed), identity);
      assert.equal(formatAddress(parsed), text);
      assert.deepEqual(parseAddress(text), address);
    });
  }

  test("spells IPv6 as RFC 5952 does", () => {
    const spellings: [string, string][] = [
      ["2001:DB8::1", "2001:db8::1"],
      ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["::ffff:127.0.0.1", "::ffff:127.0.0.1"],
      ["::FFFF:7F00:1", "::ffff:127.0.0.1"],
      ["0:0:0:0:0:0:0:0", "::"],
    ];
    for (const [text, canonical] of spellings) {
      assert.deepEqual(parseAddress(`[${text}]:1`), tcp(1, canonical));
    }
  });

  test("takes the name as identity, so that a port chosen by the system is kept", () => {
    for (const input of [{ port: 0, name: "web" }, { path: "/run/web", name: "web" }]) {
      const address = parseAddress(input);
      assert.equal(address.name, "web");
      assert.equal(identityOf(address), "web");
    }
  });

  test("takes keys that are undefined as absent", () => {
    const input = { port: 1, hostname: undefined, path: undefined, name: undefined };
    assert.deepEqual(parseAddress(input as unknown as AddressInput), tcp(1));
  });

  test("takes a path that still fits while it is being bound, and none that is longer", () => {
    const longest = "/" + "x".repeat(MAX_PATH_BYTES - 1);
    assert.equal(Buffer.byteLength(`${longest}.1234567\0`), 104);
    assert.deepEqual(parseAddress({ path: longest }), unix(longest));
    assert.throws(() => parseAddress({ path: `${longest}x` }), {
      message: /96 bytes and may have 95/,
    });
    const accents = "/" + "é".repeat(48);
    assert.throws(() => parseAddress({ path: accents }), { message: /97 bytes and may have 95/ });
  });

  test("takes a name of 255 characters, and none that is longer", () => {
    const name = "x".repeat(255);
    assert.equal(identityOf(parseAddress({ port: 1, name })), name);
    assert.throws(() => parseAddress({ port: 1, name: `${name}x` }), { code: "ERR_ADDRESS" });
  });

  const port = /a port is a whole number from 0 \(the system chooses\) to 65535/;
  const noPort = /it has no port, write one such as ":8080"/;
  const ipv4 = /four numbers from 0 to 255 without leading zeros/;
  const wrong: [AddressInput, RegExp][] = [
    [65536, port],
    [-1, port],
    [80.5, port],
    [NaN, port],
    [Infinity, port],
    [":65536", port],
    [":080", port],
    [":+80", port],
    [":8e3", port],
    [":", port],
    ["99999999999", noPort],
    ["", noPort],
    ["localhost", noPort],
    [" 80", noPort],
    ["[::1]", noPort],
    ["::1", /write an IPv6 address in brackets, such as "\[::1\]:8080"/],
    ["::1:8080", /in brackets/],
    ["[::1:80", /"\[::1" is no IPv6 address such as "::1"/],
    ["[::g]:80", /"::g" is no IPv6 address/],
    ["[1:2:3:4:5:6:7:8:9]:80", /is no IPv6 address/],
    ["[127.0.0.1]:80", /"127\.0\.0\.1" is no IPv6 address/],
    ["[]:80", /"" is no IPv6 address/],
    ["[fe80::1%eth0]:80", /IPv6 zones are not supported/],
    [{ port: 80, hostname: "fe80::1%eth0" }, /IPv6 zones are not supported/],
    ["256.0.0.1:80", ipv4],
    ["127.1:80", ipv4],
    ["010.0.0.1:80", ipv4],
    ["0x7f000001:80", ipv4],
    ["*:80", /to listen on every address leave the host out/],
    [{ port: 80, hostname: "" }, /to listen on every address leave the host out/],
    ["a b:80", /a host name has at most 253 letters/],
    ["-a:80", /a host name has/],
    ["bücher.example:80", /a host name has/],
    [`${"a".repeat(64)}:80`, /a host name has/],
    ["http://localhost:80", /expected host:port, not a URL/],
    ["tcp:*:80", /leave the prefix out/],
    ["udp:53", /leave the prefix out/],
    ["/run/app.sock", /write a Unix socket as "unix:\/run\/app\.sock" or \{ path \}/],
    ["unix:app.sock", /a Unix path is absolute/],
    ["unix:", /a Unix path is absolute/],
    [{ path: "./app.sock" }, /a Unix path is absolute/],
    ["unix:/run/", /it names a folder/],
    ["unix:/run/..", /it names a folder/],
    [{ path: "/" }, /it names a folder/],
    [{ path: "/run/a\0b" }, /a path has no NUL/],
    [{ path: "\0abstract" }, /abstract sockets are not supported/],
    [{ port: 1, name: "" }, /a name has 1 to 255 characters/],
    [{ port: 1, name: "a\nb" }, /no control characters/],
    [{ port: 1, name: "tcp:*:80" }, /does not begin with "tcp:"/],
  ];
  test("refuses what cannot work, and says what to do", () => {
    for (const [input, message] of wrong) {
      assert.throws(
        () => parseAddress(input),
        { name: "UpgradeError", code: "ERR_ADDRESS", message },
        JSON.stringify(input),
      );
    }
  });

  test("has the whole value in each message, on one line of bounded length", () => {
    assert.throws(() => parseAddress({ port: 1, hostname: "a\n" }), {
      message: /^Cannot use address \{"port":1,"hostname":"a\\n"\}: /,
    });
    assert.throws(() => parseAddress("x".repeat(10_000)), (error: Error) => {
      return error.message.length < 400;
    });
  });

  const misuse: [unknown, RegExp][] = [
    [undefined, /Cannot use undefined as an address: expected a port, a text such as/],
    [null, /Cannot use null/],
    [true, /Cannot use true/],
    [10n, /Cannot use a bigint/],
    [() => 1, /Cannot use a function/],
    [[8080], /Cannot use \[8080\]/],
    [{}, /give a port or a path/],
    [{ name: "web" }, /give a port or a path/],
    [{ port: 1, path: "/run/x" }, /a path stands alone/],
    [{ path: "/run/x", hostname: "::" }, /a path stands alone/],
    [{ port: 1, host: "::" }, /unknown key "host", write "hostname"/],
    [{ port: 1, backlog: 1 }, /unknown key "backlog", use hostname, name, path, port/],
    [{ port: "80" }, /port is a number, convert it with Number\(\)/],
    [{ port: null }, /port is a number/],
    [{ port: 1, hostname: 1 }, /hostname is a string/],
    [{ path: 1 }, /path is a string/],
    [{ port: 1, name: 1 }, /name is a string/],
  ];
  test("throws a TypeError for what is no address at all", () => {
    for (const [input, message] of misuse) {
      assert.throws(() => parseAddress(input as AddressInput), { name: "TypeError", message });
    }
  });

  test("survives a value that cannot be printed", () => {
    const circular: Record<string, unknown> = { port: 1 };
    circular["self"] = circular;
    assert.throws(() => parseAddress(circular as unknown as AddressInput), { name: "TypeError" });
  });
});

describe("sameBound", () => {
  const bound = (hostname: string, port = 80): BoundAddress => ({ kind: "tcp", hostname, port });
  const same: [string, string][] = [
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "0:0:0:0:0:0:0:1"],
    ["2001:DB8::1", "2001:db8:0::1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["::ffff:7f00:1", "127.0.0.1"],
    ["fe80::1%eth0", "fe80::1%eth0"],
  ];
  const different: [string, string][] = [
    ["127.0.0.1", "127.0.0.2"],
    ["::", "0.0.0.0"],
    ["::1", "127.0.0.1"],
    ["::127.0.0.1", "127.0.0.1"],
    ["fe80::1%eth0", "fe80::1%eth1"],
  ];
  test("sees through spellings of one address", () => {
    for (const [a, b] of same) assert.ok(sameBound(bound(a), bound(b)), `${a} ${b}`);
  });

  test("tells different addresses, ports, paths and kinds apart", () => {
    for (const [a, b] of different) assert.ok(!sameBound(bound(a), bound(b)), `${a} ${b}`);
    assert.ok(!sameBound(bound("::1", 80), bound("::1", 81)));
    assert.ok(!sameBound({ kind: "unix", path: "/a" }, { kind: "unix", path: "/b" }));
    assert.ok(!sameBound({ kind: "unix", path: "/a" }, bound("/a")));
    assert.ok(sameBound({ kind: "unix", path: "/a" }, { kind: "unix", path: "/a" }));
  });
});

describe("parseBoundAddress", () => {
  test("reads what formatAddress printed", () => {
    const addresses: BoundAddress[] = [
      { kind: "tcp", hostname: "127.0.0.1", port: 8080 },
      { kind: "tcp", hostname: "::", port: 65535 },
      { kind: "tcp", hostname: "fe80::1%eth0", port: 1 },
      { kind: "unix", path: "/run/" + "x".repeat(102) },
      { kind: "unix", path: "/run/a:1" },
    ];
    for (const address of addresses) {
      assert.deepEqual(parseBoundAddress(formatAddress(address)), address);
    }
  });

  test("refuses anything else", () => {
    for (const text of ["", ":80", "80", "::1:80", "[::1]", "a:65536", "a:-1", "[a]b:1"]) {
      assert.throws(() => parseBoundAddress(text), { code: "ERR_ADDRESS" }, text);
    }
  });
});
