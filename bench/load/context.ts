/**
 * What a client needs from the load that it belongs to.
 *
 * @module
 */

import { type Request, verdict } from "./request.ts";
import type { Response } from "./response_parser.ts";
import type { Tally } from "./tally.ts";
import type { Turns } from "./turns.ts";
import type { Target } from "./wire.ts";

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
