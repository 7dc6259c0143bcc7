/**
 * What a client needs from the load that it belongs to.
 *
 * @module
 */

import type { Birth } from "./identities.ts";
import type { Plan } from "./population.ts";
import { type Request, verdict } from "./request.ts";
import type { Response } from "./response_parser.ts";
import type { Entry, Tally } from "./tally.ts";
import type { Turns } from "./turns.ts";
import type { Pending, Target } from "./wire.ts";

/** A server that refuses would otherwise be asked some 10,000 times a second, and each would be a loss. */
export const AFTER_REFUSAL_MS = 10;

/** What the load does with a client. */
export interface LoadClient {
  /** Requests under way, and those of them of which something was written. */
  readonly inFlight: { readonly all: number; readonly written: number };
  /** Begins; also what ends a pause. */
  start(): void;
  /** Finishes what is under way and leaves. */
  stop(): void;
  /** Gives up the requests under way when their time is over. */
  expire(nowMs: number): void;
}

/** A request under way, as account, client and connection see it. */
export interface Exchange extends Entry, Pending {
  readonly request: Request;
}

/** Begins a request in the account. */
export function exchangeOf(
  { tally, now }: Pick<ClientContext, "tally" | "now">,
  { name: population }: Plan,
  request: Request,
  fresh: boolean,
  birth: Birth,
): Exchange {
  const { head, keepBytes } = request;
  const begun = { population, fresh, birth, window: tally.begin(), begunMs: now() };
  return { ...begun, request, head, keepBytes, written: false, finished: false };
}

/** What a client needs from the load that it belongs to. */
export interface ClientContext {
  readonly target: Target;
  readonly tally: Tally;
  readonly turns: Turns;
  /** From dialling, or from writing on an open connection, to the whole response; in ms. */
  readonly timeoutMs: number;
  readonly expectStatus: number;
  readonly identify: (request: Request, response: Response) => string | undefined;
  /** The caller's own check: returns what is wrong. May throw. */
  readonly check: ((response: Response) => string | undefined) | undefined;
  /** Ms since the load began. */
  now(): number;
  /** Calls `task` after `ms`; returns what calls it off. */
  later(ms: number, task: () => void): () => void;
  /** Asks for one more request; `false`: there is none to be sent any more. */
  take(): boolean;
  /** The client has closed its connection and will do nothing more. */
  left(client: unknown): void;
}

/** What is wrong with a whole response, or `undefined`. */
export function judge(
  { expectStatus, check }: Pick<ClientContext, "expectStatus" | "check">,
  request: Request,
  response: Response,
): string | undefined {
  const wrong = verdict(request, response, expectStatus);
  if (wrong !== undefined || check === undefined) return wrong;
  try {
    return check(response);
  } catch (error) {
    return `check threw ${String(error)}`;
  }
}

/** Who gave a right response; `undefined` when it does not say. */
export function identify(
  context: Pick<ClientContext, "identify">,
  request: Request,
  response: Response,
): string | undefined {
  try {
    return context.identify(request, response);
  } catch {
    return "(identify threw)";
  }
}
