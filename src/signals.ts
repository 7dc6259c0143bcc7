/**
 * Signal handlers: which signal means what, and how they are given back.
 *
 * @module
 */

import type { Backend, Disposer } from "./backend/backend.ts";

/** What signals ask for. */
export interface SignalActions {
  upgrade(signal: string): void;
  /** @returns Whether the signal was taken; if not, it does what it does without this library. */
  stop(signal: string): boolean;
}

/**
 * Installs the handlers.
 *
 * @param backend Where.
 * @param signals Which.
 * @param actions What for.
 * @returns Takes all of them out again.
 * @throws {TypeError} When the system does not know a signal; none is installed then.
 */
export function installSignals(
  backend: Backend,
  signals: { readonly upgrade: readonly string[]; readonly stop: readonly string[] },
  actions: SignalActions,
): Disposer {
  const installed: Disposer[] = [];
  const dispose = () => {
    for (const undo of installed.splice(0)) undo();
  };
  const install = (signal: string, handler: () => void) => {
    try {
      installed.push(backend.onSignal(signal, handler));
    } catch (cause) {
      dispose();
      throw new TypeError(`Cannot use signals: this system cannot catch "${signal}"`, { cause });
    }
  };
  for (const signal of signals.upgrade) install(signal, () => actions.upgrade(signal));
  for (const signal of signals.stop) {
    install(signal, () => {
      if (actions.stop(signal)) return;
      // Without our handler the signal does what it would have done at once.
      dispose();
      backend.kill(backend.pid, signal);
    });
  }
  return dispose;
}
