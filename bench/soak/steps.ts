/**
 * What happens in a soak, in an order that a seed repeats.
 *
 * @module
 */

import { Random } from "../../tests/support/random.ts";

/** One step. */
export type Step =
  /** Replaced by the runtime of that name. */
  | { readonly do: "upgrade"; readonly to: string }
  /** An upgrade to the runtime of that name that goes wrong so. */
  | { readonly do: "fail"; readonly to: string; readonly how: Failure }
  /** Stopped, and started again with the runtime of that name. */
  | { readonly do: "restart"; readonly to: string }
  /** Nothing for that long. */
  | { readonly do: "rest"; readonly ms: number };

/** How an upgrade goes wrong, and what the caller may be told. */
export const FAILURES = {
  exit: ["ERR_CHILD_EXITED"],
  throw: ["ERR_CHILD_EXITED", "ERR_CHILD_FAILED"],
  fail: ["ERR_CHILD_FAILED"],
  // On a busy machine before its probation has begun, or when it is over.
  regret: ["ERR_ROLLED_BACK", "ERR_CHILD_FAILED", "late"],
  hang: ["ERR_UPGRADE_TIMEOUT"],
  nothing: ["ERR_SPAWN"],
} as const;

/** One of {@linkcode FAILURES}. */
export type Failure = keyof typeof FAILURES;

/** The steps of a seed, without end. */
export function* stepsOf(seed: number, runtimes: readonly string[]): Generator<Step, never> {
  const random = new Random(seed);
  const failures = Object.keys(FAILURES) as Failure[];
  for (;;) {
    const dice = random.next();
    const to = random.pick(runtimes);
    if (dice < 0.6) yield { do: "upgrade", to };
    else if (dice < 0.85) {
      // One that hangs takes its whole time, a minute.
      const how = random.pick(failures);
      yield { do: "fail", to, how: how === "hang" && random.chance(0.9) ? "exit" : how };
    } else if (dice < 0.9) yield { do: "restart", to };
    else yield { do: "rest", ms: random.below(2000) };
  }
}
