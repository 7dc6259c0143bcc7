/**
 * Reads a command's arguments by its description, and says what is wrong with them.
 *
 * @module
 */

import type { Option } from "./command.ts";
import { UsageError } from "./exit_codes.ts";

/** What a command was told. */
export class Arguments {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  /** The command line of somebody else that followed. */
  readonly rest: readonly string[];

  /**
   * Parsed arguments.
   *
   * @param values By option; of a flag, a value for each time that it was given.
   * @param rest What followed.
   */
  constructor(values: ReadonlyMap<string, readonly string[]>, rest: readonly string[]) {
    this.#values = values;
    this.rest = rest;
  }

  /** Whether an option was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option. */
  get(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  /** The values of an option that repeats. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

/** What {@linkcode parseArguments} goes by. */
export interface Grammar {
  /** What may be given. */
  readonly options: readonly Option[];
  /** See `Command`. */
  readonly takesCommand?: boolean;
}

/**
 * Reads arguments: `--name value`, `--name=value`, `-n value`, flags, and `--` before the command line of somebody else.
 *
 * @param words The arguments after the command's name.
 * @param grammar What may be given.
 * @throws {UsageError} Unknown option, missing or unexpected value, an option twice, a word too many.
 */
export function parseArguments(words: readonly string[], grammar: Grammar): Arguments {
  const values = new Map<string, string[]>();
  const left = [...words];
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (word === "--" || !word.startsWith("-") || word === "-") {
      if (!grammar.takesCommand) throw new UsageError(unexpected(word, left));
      return new Arguments(values, word === "--" ? left : [word, ...left]);
    }
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const given = equals < 0 ? word : word.slice(0, equals);
    const option = grammar.options.find(({ name, short }) =>
      given === `--${name}` || (short !== undefined && given === `-${short}`)
    );
    if (option === undefined) throw new UsageError(unknown(given, grammar.options));
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (option.value === undefined) {
      if (value !== undefined) throw new UsageError(`--${option.name} takes no value`);
      value = "";
    } else {
      value ??= left.shift();
      // A forgotten value would otherwise swallow the next option.
      if (value === undefined || value === "" || (equals < 0 && /^--?[a-z]/.test(value))) {
        throw new UsageError(`--${option.name} needs a value: --${option.name} ${option.value}`);
      }
    }
    const earlier = values.get(option.name);
    if (earlier === undefined) values.set(option.name, [value]);
    else if (option.repeats || option.value === undefined) earlier.push(value);
    else throw new UsageError(`--${option.name} can be given only once`);
  }
  return new Arguments(values, []);
}

/**
 * The name that was probably meant.
 *
 * @param word What was written.
 * @param names What there is.
 * @returns One that begins so, or that differs in at most two letters; `undefined` when none is near.
 */
export function nearest(word: string, names: readonly string[]): string | undefined {
  if (word.length > 40) return undefined;
  const near = names.map((name) => ({
    name,
    distance: word.length > 1 && name.startsWith(word) ? 0 : distance(word, name),
  })).sort((a, b) => a.distance - b.distance)[0];
  const tolerated = Math.min(2, Math.floor(word.length / 2));
  return near !== undefined && near.distance <= tolerated ? near.name : undefined;
}

function unknown(given: string, options: readonly Option[]): string {
  const meant = nearest(given.replace(/^-+/, ""), options.map(({ name }) => name));
  return `there is no option ${given}${meant === undefined ? "" : `; did you mean --${meant}?`}`;
}

function unexpected(word: string, left: readonly string[]): string {
  const what = word === "--" ? left[0] ?? word : word;
  return `unexpected argument ${JSON.stringify(what)}`;
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
