/**
 * Which process is the newest generation, and which older ones are still there: from the table of processes and from
 * what the owner of the service has told.
 *
 * A generation that was started by an upgrade is recognised by the variable that invited it, which names its parent and
 * stays readable in `/proc/<pid>/environ` after it was taken out of the environment. So servers that cannot tell who
 * they are (no permission to write, another user) are found, too; but only the owner's own word tells a generation that
 * serves from one that is still being started.
 *
 * @module
 */

/** A living process of the service. */
export interface Member {
  readonly pid: number;
  /** Its parent. */
  readonly ppid: number;
  /** When it was started, in a unit that grows. */
  readonly started: number;
  /** The process that started it as its successor; `undefined` when none did. */
  readonly invitedBy: number | undefined;
}

/** What is known besides. */
export interface Known {
  /** The first generation, which was started from here. */
  readonly root: number;
  /** Who has told that it owns the service; it may be gone. */
  readonly owner: { readonly pid: number; readonly started: number | undefined } | undefined;
}

/** The generations that live. */
export interface Family {
  /** Whom signals are meant for; `undefined`: the newest has ended. */
  readonly newest: Member | undefined;
  /** All others, which finish their connections or are being started. */
  readonly others: readonly Member[];
}

/**
 * Finds the generations.
 *
 * @param members Living processes of the service, its own subprocesses among them.
 * @param known What is known besides.
 * @returns Who is who.
 */
export function familyOf(members: readonly Member[], known: Known): Family {
  const { root, owner } = known;
  const alive = new Set(members.map(({ pid }) => pid));
  const generations = members.filter(({ pid, ppid, invitedBy }) =>
    pid === root || pid === owner?.pid ||
    // A subprocess may have the variable as well, but not from its own parent.
    (invitedBy !== undefined && (invitedBy === ppid || !alive.has(invitedBy)))
  );
  const newest = generations.find(({ pid }) => pid === owner?.pid) ??
    successor(generations.filter((member) => comesAfter(member, owner)));
  return { newest, others: generations.filter((member) => member !== newest) };
}

/** Whether a generation can be a successor of the one that was last known to be the owner. */
function comesAfter({ pid, started, invitedBy }: Member, owner: Known["owner"]): boolean {
  if (owner === undefined || invitedBy === owner.pid) return true;
  return pid !== owner.pid && owner.started !== undefined && started > owner.started;
}

/**
 * Of those whose parent is not one of them, the one that was started last: its parents are gone, so it owns the service,
 * or will as soon as it is ready. A child of a living generation is still being started, or its parent passes on what it
 * is told.
 */
function successor(generations: readonly Member[]): Member | undefined {
  const pids = new Set(generations.map(({ pid }) => pid));
  return generations.filter(({ ppid }) => !pids.has(ppid))
    .reduce<Member | undefined>(
      (last, member) => last === undefined || member.started >= last.started ? member : last,
      undefined,
    );
}
