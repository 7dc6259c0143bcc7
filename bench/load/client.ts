/**
 * One closed-loop client: request, whole response, think, next request. It never retries a request.
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
  judge,
  type LoadClient,
} from "./context.ts";
import type { Birth } from "./identities.ts";
import type { EventStream } from "./event_stream.ts";
import { describeEnding, type Ending, outcomeOf } from "./outcome.ts";
import type { Plan } from "./population.ts";
import type { Request } from "./request.ts";
import type { Response } from "./response_parser.ts";
import type { Task } from "./turns.ts";
import type { ConnectionListener } from "./wire.ts";

/** A client of one population. */
export class Client implements ConnectionListener<Exchange>, LoadClient, Task {
  readonly #context: ClientContext;
  readonly #plan: Plan;
  #connection: Connection<Exchange> | undefined;
  #birth: Birth | undefined;
  #batch: readonly Request[] = [];
  #exchanges: readonly Exchange[] = [];
  #unsettled = 0;
  #unwritten: Uint8Array[] = [];
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
    const batch: Request[] = [];
    while (!this.#stopped && batch.length < this.#plan.depth && this.#context.take()) {
      batch.push(this.#plan.request());
    }
    if (batch.length === 0) return this.#leave();
    this.#batch = batch;
    if (this.#connection === undefined) this.#dial();
    else this.#context.turns.after(this);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#wakeOff === undefined) return;
    this.#wakeOff();
    this.#wakeOff = undefined;
    this.#leave();
  }

  /** Also leaves a stream, which has no end of its own, when the load ends. */
  expire(nowMs: number): void {
    if (this.#unsettled === 0) return;
    const stream = this.#exchanges[0]?.request.stream;
    if (nowMs >= this.#deadlineMs) this.#connection?.close({ kind: "timeout" });
    else if (this.#stopped && stream !== undefined && stream.blocks > 0 && !stream.isInEvent) {
      this.#connection?.conclude();
    }
  }

  /** The event loop has looked at the idle connection: write on it, or find it closed. */
  onTurn(): void {
    const connection = this.#connection!;
    const exchanges = this.#begin(false);
    if (connection.ending === undefined) {
      connection.expect(exchanges);
      return this.#write(connection);
    }
    const nowMs = this.#context.now();
    const detail = describeEnding(connection.ending);
    for (const exchange of exchanges) {
      this.#context.tally.fail(exchange, "not-sent", detail, nowMs);
    }
    this.#dial();
  }

  onOpen(): void {
    this.#write(this.#connection!);
  }

  onResponse(exchange: Exchange, response: Response): void {
    const { tally } = this.#context;
    const nowMs = this.#context.now();
    const { stream } = exchange.request;
    const wrong = judge(this.#context, exchange.request, response);
    if (wrong !== undefined) tally.fail(exchange, "wrong-answer", wrong, nowMs, true);
    else if (stream?.isInEvent) tally.fail(exchange, "answered-short", "in an event", nowMs, true);
    else tally.answer(exchange, identify(this.#context, exchange.request, response), nowMs);
    // An answer to half a request leaves a connection on which the rest is still owed.
    if (this.#unwritten.length > 0) {
      this.#connection?.close();
      this.#connection = undefined;
    }
    this.#settle(1, stream?.retryMs ?? 0);
  }

  onEnd(ending: Ending, unanswered: readonly Exchange[], partial: boolean): void {
    // Closed while idle, by the server or by this client: the next turn finds it.
    if (unanswered.length === 0) return;
    const nowMs = this.#context.now();
    const detail = describeEnding(ending);
    for (const [index, exchange] of unanswered.entries()) {
      const outcome = outcomeOf(ending, partial && index === 0);
      this.#context.tally.fail(exchange, outcome, detail, nowMs);
    }
    this.#connection = undefined;
    this.#settle(unanswered.length, ending.kind === "connect-failed" ? AFTER_REFUSAL_MS : 0);
  }

  #dial(): void {
    const context = this.#context;
    this.#birth = context.tally.identities.birth(context.now());
    const exchanges = this.#begin(true);
    this.#connection = new Connection(
      {
        target: context.target,
        wire: context.tally.wire,
        readPauseMs: this.#plan.readPauseMs,
        later: context.later,
      },
      this,
      exchanges,
    );
  }

  #begin(fresh: boolean): readonly Exchange[] {
    this.#deadlineMs = this.#context.now() + this.#context.timeoutMs;
    this.#exchanges = this.#batch.map((request, index) => {
      const first = fresh && index === 0;
      const exchange = exchangeOf(this.#context, this.#plan, request, first, this.#birth!);
      const { stream } = request;
      return stream === undefined ? exchange : this.#watched(exchange, stream);
    });
    this.#unsettled = this.#exchanges.length;
    return this.#exchanges;
  }

  // The latency of a stream is that of its first event; its time is over when none comes for so long.
  #watched(exchange: Exchange, stream: EventStream): Exchange {
    const { tally, timeoutMs, now } = this.#context;
    exchange.piece = (bytes, start, end) => {
      const { events, blocks } = stream;
      stream.read(bytes, start, end);
      tally.wire.events += stream.events - events;
      if (stream.blocks === blocks) return;
      const nowMs = now();
      this.#deadlineMs = nowMs + timeoutMs;
      exchange.measured ??= { latencyMs: nowMs - exchange.begunMs, window: tally.window };
    };
    return exchange;
  }

  #write(connection: Connection<Exchange>): void {
    const bytes = this.#batch.length === 1
      ? this.#batch[0]!.bytes
      : Buffer.concat(this.#batch.map((request) => request.bytes));
    if (this.#plan.pieces === 1) return connection.write(bytes, this.#exchanges);
    const size = Math.max(1, Math.ceil(bytes.length / this.#plan.pieces));
    for (let at = 0; at < bytes.length; at += size) {
      this.#unwritten.push(bytes.subarray(at, at + size));
    }
    this.#dribble(connection);
  }

  #dribble(connection: Connection<Exchange>): void {
    if (connection.ending !== undefined) return;
    connection.write(this.#unwritten.shift()!, this.#exchanges);
    if (this.#unwritten.length === 0) return;
    this.#context.later(this.#plan.writePauseMs, () => this.#dribble(connection));
  }

  #settle(count: number, pauseMs: number): void {
    this.#unsettled -= count;
    if (this.#unsettled > 0) return;
    this.#unwritten = [];
    if (!this.#plan.reuse) {
      this.#connection?.close();
      this.#connection = undefined;
    }
    const restMs = Math.max(pauseMs, this.#plan.thinkMs);
    if (restMs === 0 || this.#stopped) return this.start();
    this.#wakeOff = this.#context.later(restMs, () => this.start());
  }

  #leave(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.#context.left(this);
  }
}
