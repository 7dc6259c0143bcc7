/**
 * The variables of systemd's socket activation, `sd_listen_fds(3)`: text in, values out.
 *
 * @module
 */

import { UpgradeError } from "../errors.ts";

/** The first descriptor that a service manager passes. */
export const LISTEN_FDS_START = 3;
/** Everything that tells a process of passed descriptors. */
export const LISTEN_VARIABLES: readonly string[] = [
  "LISTEN_PID",
  "LISTEN_PIDFDID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
];

// RLIMIT_NOFILE cannot be raised above fs.nr_open, whose default this is.
const MAX_FDS = 1_048_576;
/** How a descriptor is called that was passed without a name, as `sd_listen_fds_with_names(3)` does. */
const UNNAMED = "unknown";

/** A descriptor that was passed, under the name it has in the unit. */
export interface PassedDescriptor {
  readonly fd: number;
  /** `FileDescriptorName=` of the socket unit; its default is the unit's name, such as `app.socket`. */
  readonly name: string;
}

function refuse(variable: string, value: string, why: string): never {
  throw new UpgradeError(
    "ERR_PROTOCOL",
    `Cannot use the sockets that were passed: ${variable} is ${
      JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}...` : value)
    }, ${why}; a service manager sets it, see sd_listen_fds(3)`,
  );
}

function integer(variable: string, value: string, maximum: number): number {
  const number = /^[0-9]{1,10}$/.test(value) ? Number(value) : NaN;
  if (!(number <= maximum)) refuse(variable, value, `which is no number from 0 to ${maximum}`);
  return number;
}

/**
 * Reads what a service manager passed.
 *
 * @param env The environment; it is not changed.
 * @param pid Of this process: the variables name the process that they are meant for.
 * @param warn Told when descriptors were meant for another process.
 * @returns The descriptors, in their order; none when nothing was passed to this process.
 * @throws {UpgradeError} `ERR_PROTOCOL` when a variable cannot be read.
 */
export function passedDescriptors(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
  warn: (message: string) => void,
): PassedDescriptor[] {
  const { LISTEN_PID: forWhom, LISTEN_FDS: count, LISTEN_FDNAMES: names } = env;
  if (count === undefined) return [];
  if (forWhom === undefined) {
    warn("LISTEN_FDS is set and LISTEN_PID is not, so it is not known for whom; it is ignored");
    return [];
  }
  const addressee = integer("LISTEN_PID", forWhom, 2 ** 31 - 1);
  if (addressee !== pid) {
    warn(
      `LISTEN_FDS was meant for process ${addressee} and this is ${pid}, so the sockets did not come this far and are ` +
        `ignored; let the service manager start the runtime itself, without npm or a shell in between`,
    );
    return [];
  }
  const length = integer("LISTEN_FDS", count, MAX_FDS);
  const list = names === undefined ? undefined : names === "" ? [] : names.split(":");
  // One socket without a name is written like none.
  const given = list?.length === 0 && length === 1 ? [UNNAMED] : list;
  if (given !== undefined && given.length !== length) {
    refuse(
      "LISTEN_FDNAMES",
      names ?? "",
      `which has ${given.length} names for ${length} descriptors (LISTEN_FDS)`,
    );
  }
  return Array.from({ length }, (_, index) => ({
    fd: LISTEN_FDS_START + index,
    name: given?.[index] || UNNAMED,
  }));
}
