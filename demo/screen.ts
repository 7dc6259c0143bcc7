/**
 * What is shown: colours and a block of lines that is drawn again and again on a terminal, plain lines elsewhere.
 *
 * @module
 */

import process from "node:process";

/** How a text is painted. */
export type Style = "plain" | "bold" | "dim" | "good" | "bad" | "node" | "deno" | "bun";

/** Where to write to; standard output. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const CODES: Readonly<Record<Style, string>> = {
  plain: "0",
  bold: "1",
  dim: "2",
  good: "1;32",
  bad: "1;31",
  node: "32",
  deno: "36",
  bun: "35",
};
/** The longest line and the highest block that the scenes draw. */
const COLUMNS = 80;
const ROWS = 24;
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** Writes texts, and redraws a block of lines at the end where that is possible. */
export class Screen {
  /** Whether a block can be redrawn. */
  readonly live: boolean;
  readonly #output: Output;
  readonly #colours: boolean;
  #drawn = 0;
  #hidden = false;

  /** @param env Where `CI`, `NO_COLOR` and `TERM` are looked up. */
  constructor(output: Output = process.stdout, env: NodeJS.ProcessEnv = process.env) {
    const { isTTY = false, columns = COLUMNS, rows = ROWS } = output;
    const terminal = isTTY && env["TERM"] !== "dumb" && !env["CI"];
    this.#output = output;
    this.#colours = terminal && !env["NO_COLOR"];
    this.live = terminal && columns >= COLUMNS && rows >= ROWS;
  }

  /** A text in a style, where there are colours. */
  paint(style: Style, text: string): string {
    return this.#colours ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
  }

  /** Writes without an end of line. */
  write(text: string): void {
    this.#output.write(text);
  }

  /** Writes one line. */
  line(text = ""): void {
    this.write(`${text}\n`);
  }

  /** Draws a block of lines over the one that was drawn before. */
  draw(lines: readonly string[]): void {
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    const hide = this.#hidden ? "" : HIDE_CURSOR;
    this.#hidden = true;
    this.#drawn = lines.length;
    this.write(`${hide}${up}\r${lines.map((line) => `${line}\x1b[K\n`).join("")}`);
  }

  /** Leaves the block as it is; what follows comes below. */
  settle(): void {
    this.#drawn = 0;
    if (this.#hidden) this.write(SHOW_CURSOR);
    this.#hidden = false;
  }
}
