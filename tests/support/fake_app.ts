/**
 * Programs on a fake backend: what the tests of the upgrader begin with.
 *
 * @module
 */

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { AddressInput } from "../../src/address.ts";
import { type ErrorCode, UpgradeError } from "../../src/errors.ts";
import type { Logger, UpgraderOptions } from "../../src/options.ts";
import { Upgrader } from "../../src/upgrader.ts";
import {
  type Fake,
  fakeBackend,
  type FakeBackendOptions,
  type FakeParent,
  fakeParent,
  type FakeParentOptions,
} from "../../src/testing/mod.ts";

/** A server that only has what is looked for. */
export class FakeServer extends EventEmitter {
  /** Nobody calls it: the fake backend listens. */
  listen(): this {
    return this;
  }

  /** Nobody calls it either. */
  close(): this {
    return this;
  }

  /** A connection that stays open until `end` or `destroy`. */
  connect(): FakeConnection {
    const connection = new FakeConnection();
    this.emit("connection", connection);
    return connection;
  }
}

/** A connection that only has what is looked for. */
export class FakeConnection extends EventEmitter {
  /** As sockets have it. */
  destroyed = false;
  /** Whether our FIN was sent. */
  ended = false;
  /** As sockets have it. */
  bytesRead = 0;
  /** What the server wrote. */
  readonly written: (Uint8Array | string)[] = [];

  /** As sockets have it. */
  write(chunk: Uint8Array | string, done?: () => void): boolean {
    this.written.push(chunk);
    if (done !== undefined) queueMicrotask(done);
    return true;
  }

  /** Sends FIN; the client does not answer by itself. */
  end(): this {
    this.ended = true;
    return this;
  }

  /** Cuts; told in a later tick, as streams do. */
  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    queueMicrotask(() => this.emit("close"));
    return this;
  }
}

/** What became of a promise. */
export type Outcome<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly error: UpgradeError; readonly value?: undefined };

/** Holds a promise that may reject before anybody waits for it. */
export function outcome<T>(promise: Promise<T>): Promise<Outcome<T>> {
  return promise.then((value) => ({ value }), (error) => ({ error }));
}

/** Waits for a refusal and returns its error. */
export function refused(promise: Promise<unknown>, code: ErrorCode): Promise<UpgradeError> {
  return failed(outcome(promise), code);
}

/** As {@linkcode refused}, for a promise that is held by {@linkcode outcome}. */
export async function failed(
  held: Promise<Outcome<unknown>>,
  code: ErrorCode,
): Promise<UpgradeError> {
  const { error } = await held;
  assert.ok(UpgradeError.is(error), `expected ${code}, got ${error ?? "success"}`);
  assert.equal(error.code, code, error.message);
  return error;
}

/** Tells whether a promise is settled by now, after everything that needs no time. */
export async function isPending(fake: Fake, promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const done = () => void (pending = false);
  promise.then(done, done);
  await fake.settle();
  return pending;
}

/** A logger that remembers. */
export function recorder(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const log = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return { lines, info: log("info"), warn: log("warn"), error: log("error") };
}

/** What {@linkcode serving} makes. */
export interface Served {
  readonly fake: Fake;
  readonly upgrader: Upgrader;
  readonly server: FakeServer;
  /** What the logger was told. */
  readonly lines: readonly string[];
  /** The names of the events, in order. */
  readonly events: readonly string[];
}

const EVENTS = [
  "ready",
  "upgrading",
  "paused",
  "released",
  "spawned",
  "child-joined",
  "child-ready",
  "committing",
  "upgraded",
  "upgrade-failed",
  "resumed",
  "stopping",
  "aborted",
  "parent-gone",
  "drained",
];

/** Remembers the names of the events of an upgrader. */
export function recordEvents(upgrader: Upgrader): string[] {
  const events: string[] = [];
  for (const event of EVENTS) upgrader.addEventListener(event, () => void events.push(event));
  return events;
}

/** Options of an upgrader under test. */
export type AppOptions = Omit<UpgraderOptions, "backend">;

/** Generation 1, ready, with a server on port 8080 unless `address` says otherwise. */
export async function serving(
  options: AppOptions = {},
  backend: FakeBackendOptions & { readonly address?: AddressInput } = {},
): Promise<Served> {
  const { address = 8080, ...rest } = backend;
  const fake = fakeBackend(rest);
  const logger = recorder();
  const upgrader = await Upgrader.create({ logger, ...options, backend: fake.backend });
  const events = recordEvents(upgrader);
  const server = new FakeServer();
  await upgrader.listen(address, server);
  await upgrader.ready();
  return { fake, upgrader, server, lines: logger.lines, events };
}

/** What {@linkcode joining} makes. */
export interface Joined extends Served {
  readonly parent: FakeParent;
}

/** The child of an upgrade, which has claimed port 8080 and is not ready. */
export async function joining(
  options: AppOptions = {},
  backend: FakeParentOptions = {},
): Promise<Joined> {
  const parent = fakeParent({ sockets: [{ identity: "tcp:*:8080" }], ...backend });
  const logger = recorder();
  const fake = parent.child;
  const upgrader = await Upgrader.create({ logger, ...options, backend: fake.backend });
  const events = recordEvents(upgrader);
  const server = new FakeServer();
  await upgrader.listen(8080, server);
  return { parent, fake, upgrader, server, lines: logger.lines, events };
}
