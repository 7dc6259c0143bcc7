/**
 * Lets a client look at its sockets before it writes.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/** Something to be done after the event loop has polled. */
export interface Task {
  onTurn(): void;
}

/**
 * Runs tasks after the event loop has polled for I/O at least once more.
 *
 * A careful client does not write on a connection whose FIN has already arrived. A program in C peeks into the socket;
 * here the event loop has to look. An immediate that was asked for in a data event runs in the check phase of the
 * same round (libuv: poll, check), so it would not see a FIN right behind the data: it takes two.
 */
export class Turns {
  #asked: Task[] = [];
  #polled: Task[] = [];
  #scheduled = false;

  /** Runs `task.onTurn()` after the next poll. */
  after(task: Task): void {
    this.#asked.push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    const due = this.#polled;
    this.#polled = this.#asked;
    this.#asked = [];
    this.#scheduled = false;
    if (this.#polled.length > 0) this.#schedule();
    for (const task of due) task.onTurn();
  };
}
