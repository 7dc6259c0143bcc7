/**
 * What only one process may hold: an embedded database, a file with a single writer, a device.
 *
 * In a sequential upgrade the old process lets go of it before the new one starts, and takes it back when the new one
 * fails.
 *
 * @module
 */

/** What the application is told when it lets go or takes back. */
export interface ExclusiveContext {
  /** Aborted when it has taken longer than `upgradeTimeoutMs`, or when the process is stopped. */
  readonly signal: AbortSignal;
}

/** See `Upgrader.exclusive`. */
export interface ExclusiveResource {
  /** Lets go of it, once the connections are finished; the successor is started afterwards. */
  release(context: ExclusiveContext): unknown;
  /** Takes it back because the upgrade has failed; also called after a `release` that has failed. */
  reacquire(context: ExclusiveContext): unknown;
}

interface Held extends ExclusiveResource {
  readonly name: string;
  /** The last call for it, which may take longer than anybody waits; never rejects. */
  busy: Promise<unknown>;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Calls the application, and remembers when that is over. */
function call(held: Held, what: () => Promise<unknown>): Promise<unknown> {
  const over = what();
  held.busy = over.catch(() => {});
  return over;
}

/** The resources of this process. */
export class Exclusives {
  readonly #held = new Set<Held>();
  /** What `release` was called for, and not `reacquire` yet; `true`: it has been released. */
  readonly #released = new Map<Held, boolean>();
  /** Counts calls of {@linkcode Exclusives.release}: whoever took back before must not go on. */
  #releases = 0;
  #abort = new AbortController();

  /** How many there are. */
  get size(): number {
    return this.#held.size;
  }

  /** Adds one. @throws {TypeError} @returns Withdraws it. */
  add(name: string, resource: ExclusiveResource): () => void {
    if (typeof name !== "string" || name === "") {
      throw new TypeError(`Cannot hold ${String(name)}: expected a name`);
    }
    const { release, reacquire } = (resource ?? {}) as Partial<ExclusiveResource>;
    if (typeof release !== "function" || typeof reacquire !== "function") {
      throw new TypeError(`Cannot hold "${name}": expected functions "release" and "reacquire"`);
    }
    if ([...this.#held].some((held) => held.name === name)) {
      throw new TypeError(`Cannot hold "${name}": the name is taken in this process`);
    }
    const held: Held = {
      name,
      release: (context) => release.call(resource, context),
      reacquire: (context) => reacquire.call(resource, context),
      busy: Promise.resolve(),
    };
    this.#held.add(held);
    return () => void this.#held.delete(held);
  }

  /** Lets go of all, the last that was added first. @throws {Error} at the first that fails. */
  release(): Promise<void> {
    this.#releases++;
    return this.#run(async (signal) => {
      // What was withdrawn is the application's own.
      for (const held of this.#released.keys()) {
        if (!this.#held.has(held)) this.#released.delete(held);
      }
      for (const held of [...this.#held].reverse()) {
        // The last attempt may still be letting go of it, or taking it back.
        await held.busy;
        // Nobody waits for it any more.
        if (signal.aborted) return;
        if (this.#released.get(held)) continue;
        this.#released.set(held, false);
        await call(held, async () => {
          await held.release({ signal });
          this.#released.set(held, true);
        }).catch((cause) => {
          throw new Error(`"${held.name}" could not be released: ${messageOf(cause)}`, { cause });
        });
      }
    });
  }

  /**
   * Takes back what was released, in the order in which it was added.
   *
   * @returns What could not be taken back, and why; `null` when all was.
   */
  reacquire(): Promise<string | null> {
    const releases = this.#releases;
    return this.#run(async (signal) => {
      const problems: string[] = [];
      for (const held of [...this.#released.keys()].reverse()) {
        // Never while the application is still letting go of it, nor for a successor that is started meanwhile.
        await held.busy;
        if (releases !== this.#releases) break;
        this.#released.delete(held);
        await call(held, async () => await held.reacquire({ signal })).catch((error) => {
          problems.push(`"${held.name}" could not be taken back: ${messageOf(error)}`);
        });
      }
      return problems.length === 0 ? null : problems.join("; ");
    });
  }

  /** Tells the application that nobody waits for its answer; nothing when it has answered. */
  abort(): void {
    this.#abort.abort(new Error("Cannot wait any longer: the upgrade is over"));
  }

  async #run<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.abort();
    const abort = this.#abort = new AbortController();
    try {
      return await step(abort.signal);
    } finally {
      // The application may have handed the signal on to what it has opened.
      if (this.#abort === abort) this.#abort = new AbortController();
    }
  }
}
