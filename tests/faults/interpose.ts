/**
 * Between a process and its channel: sees every frame before it is told or leaves, and turns the clock by hand.
 *
 * @module
 */

import type { Backend, Channel, Clock } from "../../src/backend/backend.ts";

/** Timers that run only by hand; their durations tell them. */
export const MANUAL_MS = { upgrade: 600_001, probation: 600_002, patience: 402_000 } as const;
/** With which the patience of {@linkcode MANUAL_MS} comes out. */
export const DRAIN_TIMEOUT_MS = 400_000;

/** A timer that is fired by hand. */
export type ManualTimer = keyof typeof MANUAL_MS;

/** What is told of the channel. */
export interface Watcher {
  /** A frame was read and is not told yet, or is written and has not left. */
  frame(what: `reads ${string}` | `writes ${string}`, channel: Channel): void;
}

function typeOf(line: string): string {
  try {
    return String(JSON.parse(line).type);
  } catch {
    return "garbage";
  }
}

function watched(channel: Channel, watcher: Watcher): Channel {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  let pending = "";
  return {
    ...channel,
    write(bytes) {
      watcher.frame(`writes ${typeOf(new TextDecoder().decode(bytes))}`, channel);
      channel.write(bytes);
    },
    onData(receiver) {
      channel.onData((bytes) => {
        // What is no whole line yet is told at once, its end only when the watcher has seen the line.
        const parts = decoder.decode(bytes, { stream: true }).split("\n");
        for (const [index, part] of parts.entries()) {
          pending += part;
          const isWhole = index < parts.length - 1;
          if (isWhole) {
            watcher.frame(`reads ${typeOf(pending)}`, channel);
            pending = "";
          }
          if (isWhole || part !== "") receiver(encoder.encode(isWhole ? part + "\n" : part));
        }
      });
    },
  };
}

/** Watches the channels of a backend. @returns Fires timers. */
export function interpose(backend: Backend, watcher: Watcher): (timer: ManualTimer) => void {
  // The backend is this process's own, and nobody has it yet.
  const open = backend as { -readonly [K in keyof Backend]: Backend[K] };
  const { clock, spawn, openChannel } = backend;
  const waiting = new Map<number, Set<() => void>>();
  for (const ms of Object.values(MANUAL_MS)) waiting.set(ms, new Set());
  open.clock = {
    now: () => clock.now(),
    after(ms, callback) {
      const manual = waiting.get(ms);
      if (manual === undefined) return clock.after(ms, callback);
      const own = () => callback();
      manual.add(own);
      return () => void manual.delete(own);
    },
  } satisfies Clock;
  open.spawn = async (request) => {
    const started = await spawn.call(backend, request);
    const channel = watched(started.channel, watcher);
    return {
      pid: started.pid,
      channel,
      kill: (signal) => started.kill(signal),
      onExit: (receiver) => started.onExit(receiver),
      keepAlive: (on) => started.keepAlive(on),
    };
  };
  open.openChannel = (fd) => watched(openChannel.call(backend, fd), watcher);
  return (timer) => {
    const timers = waiting.get(MANUAL_MS[timer]);
    for (const fire of [...timers ?? []]) {
      timers?.delete(fire);
      fire();
    }
  };
}
