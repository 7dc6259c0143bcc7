/**
 * The kinds of clients, and what their options mean.
 *
 * @module
 */

import { type Echo, type Request, requestSource, type RequestTemplate } from "./request.ts";

/** The kinds of clients that a load consists of. */
export const KINDS = [
  "keepAlive",
  "oneShot",
  "post",
  "pipelined",
  "slowReader",
  "slowWriter",
  "webSocket",
  "sse",
] as const;

/** One of {@linkcode KINDS}. */
export type Kind = typeof KINDS[number];

/** A population in detail. */
export interface PopulationOptions {
  /** How many clients, each with one connection at a time. */
  readonly clients: number;
  /** Where to ask: `webSocket` for an echo of text, `sse` for events with the numbers 1, 2, 3 as ids. @default what the load says */
  readonly path?: string;
  /** Pause in ms between a response and the next request. @default what the load says */
  readonly thinkMs?: number;
  /** @default "GET", or "POST" for `post` and `slowWriter` */
  readonly method?: "GET" | "HEAD" | "POST";
  /** Length of a POST's body. @default 1024 */
  readonly bytes?: number;
  /** Requests in one write. @default 4 for `pipelined`, else 1 */
  readonly depth?: number;
  /** Into how many pieces a slow writer cuts its request. @default 8 */
  readonly pieces?: number;
  /** Pause in ms after each piece that a slow reader reads or a slow writer writes. @default 5 */
  readonly pauseMs?: number;
}

/** How many clients of each kind; default: none. */
export type Populations = { readonly [kind in Kind]?: number | PopulationOptions };

/** What all populations have in common. */
export interface PlanDefaults {
  readonly host: string;
  readonly path: string;
  readonly thinkMs: number;
  readonly echo: Echo;
  readonly headers: Readonly<Record<string, string>>;
}

/** What one client of a population does. */
export interface Plan {
  /** The population's name in reports. */
  readonly name: string;
  readonly clients: number;
  /** Whether it keeps its connection. */
  readonly reuse: boolean;
  readonly webSocket: boolean;
  readonly depth: number;
  readonly pieces: number;
  readonly thinkMs: number;
  readonly readPauseMs: number;
  readonly writePauseMs: number;
  readonly request: () => Request;
}

/**
 * Makes a plan for each population that has clients.
 *
 * @throws {RangeError} When a number is not usable.
 */
export function plansOf(populations: Populations, defaults: PlanDefaults): Plan[] {
  const plans: Plan[] = [];
  for (const kind of KINDS) {
    const given = populations[kind] ?? 0;
    const options = typeof given === "number" ? { clients: given } : given;
    const plan = planOf(kind, kind, options, defaults);
    if (plan.clients > 0) plans.push(plan);
  }
  return plans;
}

/** Makes the plan of one population; `name` is what reports call it. */
export function planOf(
  name: string,
  kind: Kind,
  options: PopulationOptions,
  defaults: PlanDefaults,
): Plan {
  const writes = kind === "post" || kind === "slowWriter";
  const pauseMs = atLeast(`${kind}.pauseMs`, options.pauseMs ?? 5, 0);
  const template: RequestTemplate = {
    method: options.method ?? (writes ? "POST" : "GET"),
    host: defaults.host,
    path: options.path ?? defaults.path,
    close: kind === "oneShot",
    bodyBytes: wholeAtLeast(`${kind}.bytes`, options.bytes ?? 1024, 0),
    echo: defaults.echo,
    headers: defaults.headers,
    events: kind === "sse",
    webSocket: kind === "webSocket",
  };
  return {
    name,
    clients: wholeAtLeast(`${kind}.clients`, options.clients, 0),
    reuse: kind !== "oneShot",
    webSocket: template.webSocket,
    depth: wholeAtLeast(`${kind}.depth`, options.depth ?? (kind === "pipelined" ? 4 : 1), 1),
    pieces: kind === "slowWriter" ? wholeAtLeast(`${kind}.pieces`, options.pieces ?? 8, 1) : 1,
    thinkMs: atLeast(`${kind}.thinkMs`, options.thinkMs ?? defaults.thinkMs, 0),
    readPauseMs: kind === "slowReader" ? pauseMs : 0,
    writePauseMs: kind === "slowWriter" ? pauseMs : 0,
    request: requestSource(template),
  };
}

/** @throws {RangeError} When `value` is not a number of at least `least`. */
export function atLeast(name: string, value: number, least: number): number {
  if (typeof value === "number" && value >= least) return value;
  throw new RangeError(`Cannot use "${name}": "${value}" is not a number of at least ${least}`);
}

/** @throws {RangeError} When `value` is not a whole number of at least `least`. */
export function wholeAtLeast(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value)) return atLeast(name, value, least);
  throw new RangeError(`Cannot use "${name}": "${value}" is not a whole number`);
}
