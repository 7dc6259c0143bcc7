/**
 * What a load can be asked to do, with defaults, checked at the door.
 *
 * @module
 */

import {
  atLeast,
  type Plan,
  planOf,
  plansOf,
  type Populations,
  wholeAtLeast,
} from "./population.ts";
import { defaultIdentity, type Echo, type Request } from "./request.ts";
import type { Response } from "./response_parser.ts";
import type { Target } from "./wire.ts";

/** What to ask of which server. Without any population there is only the prober. */
export interface LoadOptions extends Populations {
  readonly target: Target;
  /** @default "/" */
  readonly path?: string;
  /** Pause in ms between a response and the client's next request. @default 0, which saturates */
  readonly thinkMs?: number;
  /** A new connection for one request every so many ms, in an account of its own; 0: none. @default 5 */
  readonly proberMs?: number;
  /** How many requests to send at most, the prober's not counted. @default Infinity */
  readonly maxRequests?: number;
  /** After how many ms to stop. @default 60000 */
  readonly maxMs?: number;
  /** For one request, connecting included, in ms. @default 5000 */
  readonly timeoutMs?: number;
  /** @default 200 */
  readonly expectStatus?: number;
  /** What the server does with the body of a POST. @default "body" */
  readonly echo?: Echo;
  /** Further fields of each request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Who answered. @default the field `x-generation`, else a body of at most 256 bytes */
  readonly identify?: (response: Response) => string | undefined;
  /** Returns what is wrong with a response that is otherwise right. The body is cut off after 256 bytes. */
  readonly check?: (response: Response) => string | undefined;
  /** Label of the window before the first mark. @default "start" */
  readonly label?: string;
}

/** Checked options. */
export interface Settings {
  readonly target: Target;
  readonly plans: readonly Plan[];
  readonly probe: Plan;
  readonly proberMs: number;
  readonly maxRequests: number;
  readonly maxMs: number;
  readonly timeoutMs: number;
  readonly expectStatus: number;
  readonly identify: (request: Request, response: Response) => string | undefined;
  readonly check: ((response: Response) => string | undefined) | undefined;
  readonly label: string;
}

/** setTimeout(3) of all three runtimes keeps a delay in 32 bits. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * Checks options and fills in defaults.
 *
 * @throws {RangeError} When a number is not usable.
 */
export function settingsOf(options: LoadOptions): Settings {
  const { target, identify } = options;
  const defaults = {
    host: "path" in target ? "localhost" : `${target.hostname ?? "127.0.0.1"}:${target.port}`,
    path: options.path ?? "/",
    thinkMs: options.thinkMs ?? 0,
    echo: options.echo ?? "body",
    headers: options.headers ?? {},
  };
  return {
    target,
    plans: plansOf(options, defaults),
    probe: planOf("prober", "oneShot", { clients: 1, thinkMs: 0 }, defaults),
    proberMs: atLeast("proberMs", options.proberMs ?? 5, 0),
    maxRequests: atLeast("maxRequests", options.maxRequests ?? Infinity, 1),
    maxMs: Math.min(MAX_DELAY_MS, atLeast("maxMs", options.maxMs ?? 60_000, 1)),
    timeoutMs: atLeast("timeoutMs", options.timeoutMs ?? 5000, 1),
    expectStatus: wholeAtLeast("expectStatus", options.expectStatus ?? 200, 100),
    identify: identify === undefined ? defaultIdentity : (_, response) => identify(response),
    check: options.check,
    label: options.label ?? "start",
  };
}
