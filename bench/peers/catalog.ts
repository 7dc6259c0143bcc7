/**
 * All that are compared, in the order of the tables.
 *
 * @module
 */

import { changeoverPeers } from "./changeover.ts";
import { clusterPeer } from "./cluster.ts";
import { gracefulPeers } from "./graceful.ts";
import { nginxPeers } from "./nginx.ts";
import type { Peer } from "./peer.ts";
import { pm2Peer } from "./pm2.ts";

/** Ours first, then the others. */
export function catalog(): Peer[] {
  return [...changeoverPeers(), ...nginxPeers(), pm2Peer(), clusterPeer(), ...gracefulPeers()];
}
