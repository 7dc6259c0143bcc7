/**
 * One WebSocket client: a text out, the same text back, think, next one; and again after a close frame.
 *
 * It looks at all that has come with one read before it sends the next message, as a program does that awaits its answers:
 * one that sends in the very handler of an answer does so before it knows of a close frame right behind it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Connection } from "./connection.ts";
import {
  AFTER_REFUSAL_MS,
  type ClientContext,
  type Exchange,
  exchangeOf,
  identify,
  type LoadClient,
} from "./context.ts";
import type { Birth } from "./identities.ts";
import { describeEnding, type Ending, outcomeOf } from "./outcome.ts";
import type { Plan } from "./population.ts";
import { WEB_SOCKET_ACCEPT } from "./request.ts";
import { MalformedResponse } from "./response_head.ts";
import type { Response } from "./response_parser.ts";
import { frameOf, parseFrame } from "./web_socket_frame.ts";
import type { ConnectionListener } from "./wire.ts";

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** So that an echo of somebody else's message is found out. */
let clients = 0;

/** A client of the population `webSocket`. The request that opens its connection counts like a message. */
export class WebSocketClient implements ConnectionListener<Exchange>, LoadClient {
  readonly #context: ClientContext;
  readonly #plan: Plan;
  readonly #name = clients++;
  #connection: Connection<Exchange> | undefined;
  #birth: Birth | undefined;
  #identity: string | undefined;
  #received: Buffer = Buffer.alloc(0);
  #exchange: Exchange | undefined;
  #message = "";
  #messages = 0;
  #deadlineMs = Infinity;
  #wakeOff: (() => void) | undefined;
  #stopped = false;

  constructor(plan: Plan, context: ClientContext) {
    this.#plan = plan;
    this.#context = context;
  }

  get inFlight(): { readonly all: number; readonly written: number } {
    const connection = this.#connection;
    return { all: connection?.pending ?? 0, written: connection?.pendingWritten ?? 0 };
  }

  start(): void {
    this.#wakeOff = undefined;
    if (this.#stopped || !this.#context.take()) return this.#leave();
    if (this.#connection === undefined) this.#dial();
    else this.#send(this.#connection);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#wakeOff === undefined) return;
    this.#wakeOff();
    this.#wakeOff = undefined;
    this.#leave();
  }

  expire(nowMs: number): void {
    if (this.#exchange !== undefined && nowMs >= this.#deadlineMs) {
      this.#connection?.close({ kind: "timeout" });
    }
  }

  onOpen(): void {
    const exchange = this.#exchange!;
    this.#connection!.write(exchange.request.bytes, [exchange]);
  }

  /** The answer to the request that opens the connection. */
  onResponse(exchange: Exchange, response: Response): void {
    const { tally } = this.#context;
    const nowMs = this.#context.now();
    const wrong = response.status !== 101
      ? `status ${response.status}`
      : response.field("sec-websocket-accept") !== WEB_SOCKET_ACCEPT
      ? "not accepted"
      : undefined;
    if (wrong === undefined) {
      this.#identity = identify(this.#context, exchange.request, response);
      tally.answer(exchange, this.#identity, nowMs);
      this.#exchange = undefined;
      return; // to onUpgraded
    }
    tally.fail(exchange, "wrong-answer", wrong, nowMs, true);
    this.#drop();
    this.#settle(AFTER_REFUSAL_MS);
  }

  onUpgraded(bytes: Uint8Array, isFirst: boolean): void {
    const connection = this.#connection!;
    this.#received = Buffer.concat([this.#received, bytes]);
    let isAnswered = isFirst;
    // What comes behind a close frame does not count: no client reads it (RFC 6455, section 5.5.1).
    while (connection.ending === undefined) {
      const frame = parseFrame(this.#received);
      if (frame === undefined) break;
      this.#received = this.#received.subarray(frame.length);
      if (frame.opcode === TEXT) {
        this.#echo(connection, frame.payload.toString());
        isAnswered = true;
      } else if (frame.opcode === CLOSE) this.#goodbye(connection, frame.payload);
      else if (frame.opcode === PING) connection.write(frameOf(PONG, frame.payload), []);
      else if (frame.opcode !== PONG) throw new MalformedResponse("A frame is not part of an echo");
    }
    if (isAnswered && connection.ending === undefined) this.#settle(0);
  }

  onEnd(ending: Ending, unanswered: readonly Exchange[], partial: boolean): void {
    if (this.#connection === undefined) return; // it was left
    this.#connection = undefined;
    const outcome = outcomeOf(ending, partial || this.#received.length > 0);
    for (const exchange of unanswered) {
      this.#context.tally.fail(exchange, outcome, describeEnding(ending), this.#context.now());
    }
    // Otherwise it thinks, and dials when it has done so.
    if (this.#wakeOff === undefined) {
      this.#settle(ending.kind === "connect-failed" ? AFTER_REFUSAL_MS : 0);
    }
  }

  #dial(): void {
    const context = this.#context;
    this.#birth = context.tally.identities.birth(context.now());
    this.#received = Buffer.alloc(0);
    const { target, tally: { wire }, later } = context;
    this.#connection = new Connection(
      { target, wire, readPauseMs: 0, later },
      this,
      [this.#begin(true)],
    );
  }

  #send(connection: Connection<Exchange>): void {
    const exchange = this.#begin(false);
    this.#message = `${this.#name}-${this.#messages++}`;
    connection.expect([exchange]);
    connection.write(frameOf(TEXT, Buffer.from(this.#message)), [exchange]);
  }

  #begin(fresh: boolean): Exchange {
    this.#exchange = exchangeOf(
      this.#context,
      this.#plan,
      this.#plan.request(),
      fresh,
      this.#birth!,
    );
    this.#deadlineMs = this.#exchange.begunMs + this.#context.timeoutMs;
    return this.#exchange;
  }

  #echo(connection: Connection<Exchange>, text: string): void {
    const exchange = this.#exchange;
    if (exchange === undefined || text !== this.#message) {
      throw new MalformedResponse("An echo differs");
    }
    this.#exchange = undefined;
    connection.answered();
    this.#context.tally.answer(exchange, this.#identity, this.#context.now());
  }

  // Answered at once, as browsers do, and nothing is sent any more.
  #goodbye(connection: Connection<Exchange>, payload: Buffer): void {
    const code = payload.length >= 2 ? String(payload.readUInt16BE(0)) : "none";
    connection.close({ kind: "close-frame", code }, frameOf(CLOSE, payload.subarray(0, 2)));
  }

  #settle(pauseMs: number): void {
    this.#exchange = undefined;
    const restMs = Math.max(pauseMs, this.#plan.thinkMs);
    if (restMs === 0 || this.#stopped) return this.start();
    this.#wakeOff = this.#context.later(restMs, () => this.start());
  }

  #drop(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
  }

  #leave(): void {
    this.#drop();
    this.#context.left(this);
  }
}
