/**
 * One closed-loop client: request, whole response, think, next request. It never retries a request.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Connection } from "./connection.ts";
import { type ClientContext, identify, judge } from "./context.ts";
import type { Birth } from "./identities.ts";
import { describeEnding, type Ending, outcomeOf } from "./outcome.ts";
import type { Plan } from "./population.ts";
import type { Request } from "./request.ts";
import type { Response } from "./response_parser.ts";
import type { Entry } from "./tally.ts";
import type { Task } from "./turns.ts";
import type { ConnectionListener, Pending } from "./wire.ts";

/** A server that refuses would otherwise be asked some 10,000 times a second, and each would be a loss. */
const AFTER_REFUSAL_MS = 10;

interface Exchange extends Entry, Pending {
  readonly request: Request;
}

/** A client of one population. */
export class Client implements ConnectionListener<Exchange>, Task {
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

  /** Requests under way, and those of them of which something was written. */
  get inFlight(): { readonly all: number; readonly written: number } {
    const connection = this.#connection;
    return { all: connection?.pending ?? 0, written: connection?.pendingWritten ?? 0 };
  }

  /** Begins; also what ends a pause. */
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

  /** Finishes what is under way and leaves. */
  stop(): void {
    this.#stopped = true;
    if (this.#wakeOff === undefined) return;
    this.#wakeOff();
    this.#wakeOff = undefined;
    this.#leave();
  }

  /** Gives up the requests under way when their time is over. */
  expire(nowMs: number): void {
    if (this.#unsettled > 0 && nowMs >= this.#deadlineMs) {
      this.#connection?.close({ kind: "timeout" });
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
    const wrong = judge(this.#context, exchange.request, response);
    if (wrong !== undefined) tally.fail(exchange, "wrong-answer", wrong, nowMs, true);
    else tally.answer(exchange, identify(this.#context, exchange.request, response), nowMs);
    // An answer to half a request leaves a connection on which the rest is still owed.
    if (this.#unwritten.length > 0) {
      this.#connection?.close();
      this.#connection = undefined;
    }
    this.#settle(1, 0);
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
    const begunMs = this.#context.now();
    this.#deadlineMs = begunMs + this.#context.timeoutMs;
    this.#exchanges = this.#batch.map((request, index) => ({
      population: this.#plan.name,
      fresh: fresh && index === 0,
      birth: this.#birth!,
      window: this.#context.tally.begin(),
      begunMs,
      written: false,
      finished: false,
      request,
      head: request.head,
      keepBytes: request.keepBytes,
    }));
    this.#unsettled = this.#exchanges.length;
    return this.#exchanges;
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
