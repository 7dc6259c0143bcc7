/**
 * WebSocket frames (RFC 6455, section 5.2), as far as an echo needs them. Pure, but for the mask.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { MalformedResponse } from "./response_head.ts";

/** A frame from a server. */
export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  /** Of the whole frame. */
  readonly length: number;
}

/** A masked frame of a client; the payload is short. */
export function frameOf(opcode: number, payload: Uint8Array): Buffer {
  if (payload.length > 125) throw new RangeError("Cannot frame more than 125 bytes");
  const mask = randomBytes(4);
  const frame = Buffer.alloc(6 + payload.length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | payload.length;
  mask.copy(frame, 2);
  for (let index = 0; index < payload.length; index++) {
    frame[6 + index] = payload[index]! ^ mask[index % 4]!;
  }
  return frame;
}

/**
 * The first frame of what a server has sent, or `undefined` as long as it is not whole.
 *
 * @throws {MalformedResponse} When it is longer than any echo.
 */
export function parseFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  let size = bytes[1]! & 0x7f;
  let at = 2;
  if (size === 126) {
    if (bytes.length < 4) return undefined;
    size = bytes.readUInt16BE(2);
    at = 4;
  } else if (size === 127) throw new MalformedResponse("A frame is longer than 64 KiB");
  if (bytes.length < at + size) return undefined;
  return { opcode: bytes[0]! & 0x0f, payload: bytes.subarray(at, at + size), length: at + size };
}
