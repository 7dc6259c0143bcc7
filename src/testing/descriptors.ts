/**
 * File descriptors of the processes of a test: numbers, what they stand for, and who shares it.
 *
 * @module
 */

/** An open file description, as `open(2)` calls it: what several descriptors of several processes can share. */
export interface OpenFile {
  /** `"socket"` for listening sockets and channels, `"file"` for anything else. */
  readonly kind: "socket" | "file";
  /** For people: for example `"tcp 127.0.0.1:8080"` or `"channel"`. */
  readonly what: string;
  /** How many descriptors there are of it. */
  references: number;
  /** Called when the last of them is closed. */
  readonly onClosed?: () => void;
}

/** The descriptors of one process. */
export class Descriptors {
  readonly #files = new Map<number, OpenFile>();

  /** Opens a descriptor: the given number, or the lowest one that is free. */
  open(file: OpenFile, fd: number = this.#lowest()): number {
    this.#files.set(fd, file);
    file.references += 1;
    return fd;
  }

  /** What a descriptor stands for; `undefined` when it is not open. */
  get(fd: number): OpenFile | undefined {
    return this.#files.get(fd);
  }

  /** Closes a descriptor; one that is not open is left alone. */
  close(fd: number): void {
    const file = this.#files.get(fd);
    if (file === undefined) return;
    this.#files.delete(fd);
    file.references -= 1;
    if (file.references === 0) file.onClosed?.();
  }

  /** Closes all. */
  closeAll(): void {
    for (const fd of [...this.#files.keys()]) this.close(fd);
  }

  /** For people and for `deepEqual`: each open descriptor, as `"4 tcp 127.0.0.1:8080"`, in the order of numbers. */
  list(): string[] {
    return [...this.#files].sort(([a], [b]) => a - b).map(([fd, { what }]) => `${fd} ${what}`);
  }

  #lowest(): number {
    // 0 to 2 are the standard streams.
    for (let fd = 3;; fd += 1) if (!this.#files.has(fd)) return fd;
  }
}
