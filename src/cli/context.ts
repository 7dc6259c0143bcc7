/**
 * What the command line is given: the seam between its logic and the process it runs in.
 *
 * @module
 */

/** Where text goes. */
export interface Output {
  /** Writes text as it is. */
  write(text: string): void;
  /** Whether a person is looking. */
  readonly isTerminal: boolean;
  /** How wide the terminal is. */
  readonly columns: number;
}

/** The world of a command. */
export interface Context {
  /** Environment variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For results. */
  readonly out: Output;
  /** For progress, remarks and errors. */
  readonly err: Output;
  /**
   * Installs a handler for a signal.
   *
   * @returns Takes it out again.
   */
  onSignal(name: string, handler: () => void): () => void;
}

/** Writes a line. */
export function line(output: Output, text = ""): void {
  output.write(`${text}\n`);
}
