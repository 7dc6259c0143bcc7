/**
 * What is explored: the real state machine and the real protocol, or broken copies of them.
 *
 * @module
 */

import * as machine from "../../src/machine.ts";
import * as protocol from "../../src/protocol.ts";
import type { Frame } from "../../src/protocol.ts";

/** The two modules that the exploration runs. */
export interface Subject {
  readonly machine: Pick<typeof machine, "transition" | "initialState">;
  readonly protocol: Pick<typeof protocol, "encodeFrame" | "FrameDecoder">;
}

/** The machine and the protocol of `src/`. */
export const real: Subject = { machine, protocol };

/** A frame on its way, as the bytes that were written. */
export interface Letter {
  /** For stories and keys. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Bytes that are no frame. */
export const GARBAGE: Letter = {
  name: "garbage",
  bytes: new TextEncoder().encode('{"v":1,"type":"com\n'),
};

/** Writes and reads frames by the protocol that is explored; what was written or read before is remembered. */
export class Post {
  readonly #protocol: Subject["protocol"];
  readonly #written = new Map<string, Letter>();
  readonly #read = new Map<Letter, Frame | Error>();

  constructor(protocol: Subject["protocol"]) {
    this.#protocol = protocol;
  }

  /** The bytes of a frame. */
  write(frame: Frame): Letter {
    const key = JSON.stringify(frame);
    let letter = this.#written.get(key);
    if (letter === undefined) {
      letter = { name: frame.type, bytes: this.#protocol.encodeFrame(frame) };
      this.#written.set(key, letter);
    }
    return letter;
  }

  /**
   * Reads the bytes of one frame, cut at every place: the pieces must say what the whole says.
   *
   * @returns The frame, or why there is none.
   */
  read(letter: Letter): Frame | Error {
    let result = this.#read.get(letter);
    if (result === undefined) {
      result = this.#decode([letter.bytes]);
      const whole = show(result);
      for (let cut = 1; cut < letter.bytes.length; cut++) {
        const pieces = [letter.bytes.subarray(0, cut), letter.bytes.subarray(cut)];
        const cutUp = show(this.#decode(pieces));
        if (cutUp !== whole) {
          result = new Broken(`\`${letter.name}\` cut after ${cut} bytes reads as ${cutUp}`);
          break;
        }
      }
      this.#read.set(letter, result);
    }
    if (result instanceof Broken) throw result;
    return result;
  }

  #decode(pieces: readonly Uint8Array[]): Frame | Error {
    const decoder = new this.#protocol.FrameDecoder();
    try {
      const [frame] = pieces.flatMap((piece) => decoder.push(piece));
      return frame ?? new Error("nothing was read");
    } catch (error) {
      return error as Error;
    }
  }
}

/** A promise that was not kept. */
export class Broken extends Error {}

function show(result: Frame | Error): string {
  return result instanceof Error ? `an error (${result.message})` : JSON.stringify(result);
}
