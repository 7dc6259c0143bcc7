/**
 * Checks at the door what `serve` is told, the same on every runtime.
 *
 * @module
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { type AddressInput, parseAddress } from "../address.ts";
import type { Runtime } from "../backend/backend.ts";
import type { UpgraderOptions } from "../options.ts";
import type { ServeOptions } from "./types.ts";

/** A certificate and its key as text. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
}

/** Where and how to serve, checked. */
export interface ServePlan {
  readonly address: AddressInput;
  readonly tls: Pem | undefined;
  readonly websocket: object | undefined;
  readonly serverOptions: object;
}

/** Takes the options of the upgrader out of those of `serve`. */
export function upgraderOptions<S>(options: ServeOptions<S>): UpgraderOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot serve: options must be an object, got ${String(options)}`);
  }
  const {
    port: _port,
    hostname: _hostname,
    path: _path,
    name: _name,
    address: _address,
    fetch: _fetch,
    tls: _tls,
    websocket: _websocket,
    serverOptions: _serverOptions,
    onListen: _onListen,
    onError: _onError,
    ...rest
  } = options;
  return rest;
}

/**
 * Checks everything else.
 *
 * @throws {TypeError} When an option is of the wrong type, or cannot work on this runtime.
 * @throws {UpgradeError} `ERR_ADDRESS`
 */
export function planOf<S>(options: ServeOptions<S>, runtime: Runtime): ServePlan {
  checkFunction("fetch", options.fetch);
  for (const name of ["onListen", "onError"] as const) {
    if (options[name] !== undefined) checkFunction(name, options[name]);
  }
  const { websocket, serverOptions = {} } = options;
  checkObject("serverOptions", serverOptions);
  if (websocket !== undefined) checkWebSocket(websocket, runtime);
  const address = addressOf(options);
  const { kind } = parseAddress(address);
  const tls = options.tls === undefined ? undefined : checkTls(options.tls);
  if (tls !== undefined && kind === "unix" && runtime === "deno") {
    throw new TypeError("Cannot use tls: on Deno a Unix socket serves no HTTPS; leave tls out");
  }
  return { address, tls, websocket, serverOptions };
}

function addressOf<S>({ address, port, hostname, path, name }: ServeOptions<S>): AddressInput {
  const parts = Object.entries({ port, hostname, path, name })
    .filter(([, value]) => value !== undefined);
  if (address === undefined) return Object.fromEntries(parts) as AddressInput;
  if (parts.length === 0) return address;
  throw new TypeError(
    `Cannot use address ${JSON.stringify(address)}: it stands alone, leave ${parts[0]?.[0]} out`,
  );
}

function checkWebSocket(websocket: unknown, runtime: Runtime): void {
  checkObject("websocket", websocket);
  if (runtime === "bun") return;
  throw new TypeError(
    `Cannot use websocket: it is Bun's; ${
      runtime === "deno"
        ? "call Deno.upgradeWebSocket(request) in fetch"
        : 'on Node listen for the event "upgrade" of the server'
    }`,
  );
}

/** Both are read here, because the three runtimes say what is wrong in three ways, one of them only to clients. */
function checkTls(tls: unknown): Pem {
  checkObject("tls", tls);
  const { cert, key } = tls as Record<string, unknown>;
  const pem = { cert: textOf("tls.cert", cert), key: textOf("tls.key", key) };
  const certificate = read("tls.cert", "certificate", () => new X509Certificate(pem.cert));
  const privateKey = read("tls.key", "private key without a passphrase", () => {
    return createPrivateKey(pem.key);
  });
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TypeError("Cannot use tls: the key is not that of the certificate");
  }
  return pem;
}

function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  throw new TypeError(
    `Cannot use ${name}: expected PEM as a string or bytes, got ${
      value === null ? "null" : typeof value
    }`,
  );
}

function read<T>(name: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new TypeError(`Cannot use ${name}: it is no ${what} in PEM`, { cause });
  }
}

function checkObject(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null) return;
  throw new TypeError(`Cannot use ${name}: expected an object, got ${show(value)}`);
}

function checkFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(`Cannot use ${name}: expected a function, got ${show(value)}`);
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
