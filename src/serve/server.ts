/**
 * What each runtime's own server is started with.
 *
 * @module
 */

import type { Upgrader } from "../upgrader.ts";
import type { Peer } from "./handler.ts";
import type { ServePlan } from "./options.ts";

/** Answers a request that came over a server. */
export type Answer = (
  request: Request,
  server: unknown,
  peer: () => Peer | undefined,
) => Response | undefined | Promise<Response | undefined>;

/** Makes the runtime's own server listen. @returns The server. */
export type Start = (upgrader: Upgrader, plan: ServePlan, answer: Answer) => Promise<unknown>;
