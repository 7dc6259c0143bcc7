/**
 * Addresses: what users write, one canonical form for it, and what the kernel says. Pure: text in, values out.
 *
 * @module
 */

import { UpgradeError } from "./errors.ts";
import { canonicalHostname, comparableHostname, parseHostname, type Refuse } from "./hostname.ts";

/**
 * Where to listen, as users write it: `8080`, `"8080"`, `":8080"`, `"127.0.0.1:8080"`, `"[::1]:8080"`,
 * `"localhost:8080"`, `"unix:/run/app.sock"`, or an object, which can carry a `name` that identifies the socket
 * across generations. No host name means every address.
 */
export type AddressInput =
  | number
  | string
  | { readonly port: number; readonly hostname?: string; readonly name?: string }
  | { readonly path: string; readonly name?: string };

/** A checked address in canonical spelling; `hostname: undefined` means every address. */
export type Address =
  | {
    readonly kind: "tcp" | "udp";
    readonly hostname: string | undefined;
    readonly port: number;
    readonly name?: string;
  }
  | { readonly kind: "unix"; readonly path: string; readonly name?: string };

/** Where a socket is bound, as the kernel says (`getsockname(2)`). */
export type BoundAddress =
  | { readonly kind: "tcp" | "udp"; readonly hostname: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * The longest path of a Unix socket that is accepted, in bytes of UTF-8.
 *
 * `sun_path` has 108 bytes on Linux and 104 on macOS (`unix(7)`, `sys/un.h`), one is for the NUL, and the socket is
 * bound as `<path>.<7 digits>` before it is renamed. The smaller bound holds everywhere, so that an
 * address that works on one system works on all.
 */
export const MAX_PATH_BYTES: number = 104 - 1 - ".1234567".length;

const MAX_PORT = 65535;
const MAX_NAME_LENGTH = 255;
const KEYS = ["hostname", "name", "path", "port"];
/** Prefixes of canonical identities: a name must not look like one. */
const RESERVED_NAME = /^(?:tcp|udp|unix):/;
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const PORT_TEXT = /^(?:0|[1-9][0-9]{0,8})$/;

/**
 * Checks what a user wrote and brings it into canonical spelling: lower-case host names, IPv6 as in RFC 5952, no doubled slashes in paths.
 *
 * @param input A port, a text or an object; see {@linkcode AddressInput}.
 * @returns The address. `hostname` is `undefined` when it listens on every address.
 * @throws {TypeError} When `input` is not of that type, has unknown keys, or both `port` and `path`.
 * @throws {UpgradeError} `ERR_ADDRESS` when it is of that type but no address that can work.
 */
export function parseAddress(input: AddressInput): Address {
  const refuse: Refuse = (why) => {
    throw new UpgradeError("ERR_ADDRESS", `Cannot use address ${show(input)}: ${why}`);
  };
  if (typeof input === "number") return tcp(undefined, checkPort(input, refuse));
  if (typeof input === "string") return parseText(input, refuse);
  if (typeof input === "object" && input !== null && !Array.isArray(input)) {
    return parseObject(input, refuse);
  }
  throw new TypeError(
    `Cannot use ${show(input)} as an address: expected a port, a text such as ":8080" or ` +
      `"unix:/run/app.sock", { port, hostname?, name? } or { path, name? }`,
  );
}

/**
 * The same for UDP: checks what a user wrote, and takes the port as one of UDP.
 *
 * @param input See {@linkcode parseAddress}.
 * @returns The address, of kind `"udp"`.
 * @throws {TypeError} As `parseAddress`.
 * @throws {UpgradeError} `ERR_ADDRESS` as `parseAddress`, and for a path.
 */
export function parseDatagramAddress(input: AddressInput): Address {
  const address = parseAddress(input);
  if (address.kind !== "unix") return { ...address, kind: "udp" };
  throw new UpgradeError(
    "ERR_ADDRESS",
    `Cannot bind ${formatAddress(address)}: only UDP is supported for datagrams, give a port`,
  );
}

/**
 * The text by which two generations recognise the same socket: the name if there is one, else the canonical address.
 *
 * @param address A checked address.
 * @returns For example `tcp:*:8080`, `tcp:127.0.0.1:8080`, `udp:[::1]:53`, `unix:/run/app.sock`, or the name.
 */
export function identityOf(address: Address): string {
  if (address.name !== undefined) return address.name;
  if (address.kind === "unix") return `unix:${address.path}`;
  const host = address.hostname === undefined ? "*" : comparableHostname(address.hostname);
  return `${address.kind}:${join(host, address.port)}`;
}

/**
 * Prints an address for people, messages and the wire: `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`.
 *
 * @param address A checked address or a bound one.
 * @returns The text; {@linkcode parseAddress} and {@linkcode parseBoundAddress} read it.
 */
export function formatAddress(address: Address | BoundAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return join(address.hostname ?? "", address.port);
}

/**
 * Reads what {@linkcode formatAddress} printed for a bound address.
 *
 * It trusts the kernel: paths of any length and IPv6 addresses with a zone, which {@linkcode parseAddress} refuses, pass.
 *
 * @param text `host:port`, `[host]:port` or `unix:path`.
 * @param kind Of which kind it is: the text of a port does not say.
 * @returns The bound address.
 * @throws {UpgradeError} `ERR_ADDRESS` when it is none of these.
 */
export function parseBoundAddress(
  text: string,
  kind: BoundAddress["kind"] = "tcp",
): BoundAddress {
  if (text.startsWith("unix:")) return { kind: "unix", path: text.slice(5) };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]+)$/.exec(text);
  const hostname = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (hostname !== undefined && port <= MAX_PORT && kind !== "unix") {
    return { kind, hostname: canonicalHostname(hostname), port };
  }
  throw new UpgradeError(
    "ERR_ADDRESS",
    `Cannot read bound address ${show(text)}: expected host:port, [host]:port or unix:path`,
  );
}

/**
 * Whether two sockets are bound to the same address, however it is spelt.
 *
 * An IPv4-mapped IPv6 address (`::ffff:127.0.0.1`) is the same as the IPv4 one, because it takes the same connections;
 * `::` and `0.0.0.0` are not the same.
 *
 * @param a One bound address.
 * @param b Another one.
 * @returns Whether they are the same.
 */
export function sameBound(a: BoundAddress, b: BoundAddress): boolean {
  if (a.kind === "unix") return b.kind === "unix" && a.path === b.path;
  return b.kind === a.kind && a.port === b.port &&
    comparableHostname(a.hostname) === comparableHostname(b.hostname);
}

function parseText(text: string, refuse: Refuse): Address {
  if (text.startsWith("unix:")) return unix(text.slice(5), refuse);
  if (text.startsWith("/")) {
    return refuse(`write a Unix socket as "unix:/run/app.sock" or { path }`);
  }
  if (text.includes("/")) return refuse("expected host:port, not a URL");
  if (PORT_TEXT.test(text)) return tcp(undefined, checkPort(Number(text), refuse));
  const [, host, port] = /^(.*?):([^:\]]*)$/s.exec(text) ?? [];
  if (host === undefined || port === undefined) {
    return refuse(`it has no port, write one such as ":8080" or "127.0.0.1:8080"`);
  }
  if (/^(?:tcp|udp)(?::|$)/.test(host)) return refuse(`leave the prefix out, write ":8080"`);
  if (host.includes(":") && !host.startsWith("[")) {
    return refuse(`write an IPv6 address in brackets, such as "[::1]:8080"`);
  }
  const hostname = host === "" ? undefined : parseHostname(host, refuse);
  return tcp(hostname, checkPort(PORT_TEXT.test(port) ? Number(port) : NaN, refuse));
}

function parseObject(input: object, refuse: Refuse): Address {
  const misuse = (why: string): never => {
    throw new TypeError(`Cannot use ${show(input)} as an address: ${why}`);
  };
  const unknown = Object.keys(input).find((key) => !KEYS.includes(key));
  if (unknown === "host") return misuse(`unknown key "host", write "hostname"`);
  if (unknown !== undefined) return misuse(`unknown key "${unknown}", use ${KEYS.join(", ")}`);
  const { port, hostname, path, name } = input as Record<string, unknown>;
  if (name !== undefined && typeof name !== "string") return misuse("name is a string");
  const named = name === undefined ? {} : { name: checkName(name, refuse) };
  if (path !== undefined) {
    if (port !== undefined || hostname !== undefined) return misuse("a path stands alone");
    if (typeof path !== "string") return misuse("path is a string");
    return { ...unix(path, refuse), ...named };
  }
  if (port === undefined) return misuse("give a port or a path");
  if (typeof port !== "number") return misuse("port is a number, convert it with Number()");
  if (hostname !== undefined && typeof hostname !== "string") return misuse("hostname is a string");
  const host = hostname === undefined ? undefined : parseHostname(hostname, refuse);
  return { ...tcp(host, checkPort(port, refuse)), ...named };
}

function tcp(hostname: string | undefined, port: number): Address {
  return { kind: "tcp", hostname, port };
}

function unix(text: string, refuse: Refuse): Address {
  if (text.includes("\0")) return refuse("a path has no NUL, abstract sockets are not supported");
  if (!text.startsWith("/")) return refuse(`a Unix path is absolute, such as "/run/app.sock"`);
  const path = text.replace(/\/(?:\.?\/)+/g, "/");
  if (/\/\.{0,2}$/.test(path)) return refuse("it names a folder, add the name of the socket");
  const bytes = new TextEncoder().encode(path).length;
  if (bytes <= MAX_PATH_BYTES) return { kind: "unix", path };
  return refuse(
    `its path has ${bytes} bytes and may have ${MAX_PATH_BYTES} (104 of the system, less the end ` +
      `mark and ".1234567" while it is bound), use a shorter one`,
  );
}

function checkPort(port: number, refuse: Refuse): number {
  if (Number.isInteger(port) && port >= 0 && port <= MAX_PORT) return port === 0 ? 0 : port; // not -0
  return refuse(`a port is a whole number from 0 (the system chooses) to ${MAX_PORT}`);
}

function checkName(name: string, refuse: Refuse): string {
  if (name === "" || name.length > MAX_NAME_LENGTH || CONTROL.test(name)) {
    return refuse(`a name has 1 to ${MAX_NAME_LENGTH} characters and no control characters`);
  }
  if (RESERVED_NAME.test(name)) {
    return refuse(`a name does not begin with "tcp:", "udp:" or "unix:"`);
  }
  return name;
}

function join(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A value for a message: of one line and not too long; never throws. */
function show(value: unknown): string {
  let text: string | undefined;
  try {
    text = typeof value === "number" ? String(value) : JSON.stringify(value);
  } catch {
    // Circular, or with a BigInt: its type has to do.
  }
  text ??= value === undefined ? "undefined" : `a ${typeof value}`;
  return text.length <= 200 ? text : `${text.slice(0, 200)}...`;
}
