/**
 * The end of the demo: who answered how much, and whether all went well. Pure.
 *
 * @module
 */

import type { Report, TallyReport } from "../bench/load/load.ts";
import type { Generation } from "./app.ts";
import { grouped, titleOf } from "./names.ts";

/** One account, and when it began in terms of `performance.now()`. */
export interface Account {
  readonly tally: TallyReport;
  readonly beganMs: number;
}

/** What all scenes together came to. */
export interface Verdict {
  /** The final table: a head and one row for each generation. */
  readonly table: readonly (readonly string[])[];
  readonly sent: number;
  readonly lost: number;
  readonly consistent: boolean;
  /** What went wrong; nothing if all went well. */
  readonly problems: readonly string[];
}

/** The account that counts in a report: the prober's where there is nobody else. */
export function accountOf(report: Report, beganMs: number): Account {
  const { prober } = report;
  return { tally: prober !== null && report.sent === 0 ? prober : report, beganMs };
}

/**
 * Judges.
 *
 * @param generations All that have served, the oldest first.
 * @param accounts What the clients of all scenes saw.
 * @param left What is wrong with the end of the processes.
 */
export function judge(
  generations: readonly Generation[],
  accounts: readonly Account[],
  left: readonly string[],
): Verdict {
  const tallies = accounts.map(({ tally }) => tally);
  const sent = sum(tallies.map((tally) => tally.sent));
  const lost = sum(tallies.map((tally) => tally.lost));
  const answers = new Map<string, number>();
  for (const { identity, answers: count } of tallies.flatMap((tally) => tally.identities)) {
    answers.set(identity, (answers.get(identity) ?? 0) + count);
  }
  const strangers = [...answers.keys()].filter((identity) =>
    !generations.some(({ number }) => identity === `${number}`)
  );
  const inconsistencies = tallies.flatMap((tally) => tally.inconsistencies);
  const kinds = tallies.flatMap((tally) => Object.entries(tally.lossKinds));
  return {
    table: [
      ["generation", "version", "runtime", "process", "requests", "upgrade"],
      ...generations.map((generation) => [
        `${generation.number}`,
        generation.version,
        titleOf(generation.runtime, generation.runtimeVersion),
        `${generation.pid}`,
        grouped(answers.get(`${generation.number}`) ?? 0),
        generation.upgradeMs === undefined ? "-" : `${grouped(generation.upgradeMs)} ms`,
      ]),
    ],
    sent,
    lost,
    consistent: inconsistencies.length === 0,
    problems: [
      ...(sent === 0 ? ["nothing was asked"] : []),
      ...(lost > 0
        ? [
          `${grouped(lost)} of ${grouped(sent)} requests were lost: ` +
          kinds.map(([kind, count]) => `${count} ${kind}`).join(", "),
        ]
        : []),
      ...inconsistencies.map((text) => `the account is not consistent: ${text}`),
      ...strangers.map((identity) => `somebody unknown answered: "${identity}"`),
      ...accounts.flatMap((account) => wentBack(account, generations)),
      ...generations.filter(({ number }) => !answers.has(`${number}`))
        .map(({ number }) => `generation ${number} has answered nothing`),
      ...left,
    ],
  };
}

/**
 * For the moment between `ready` and `commit` both generations accept, so a new connection may still be answered by
 * the older one; not after the upgrade was reported.
 */
function wentBack({ tally, beganMs }: Account, generations: readonly Generation[]): string[] {
  const { count, maxLagMs } = tally.wentBack;
  const bothMs = tally.identities.map(({ identity, firstMs }) => {
    const generation = generations.find(({ number }) => identity === `${number}`);
    return generation === undefined ? 0 : generation.heardMs - (beganMs + firstMs);
  });
  if (count === 0 || maxLagMs <= Math.max(0, ...bothMs)) return [];
  return [
    `versions went backwards: an older one answered ${
      grouped(count)
    } later connections, by up to ` +
    `${Math.round(maxLagMs)} ms`,
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
