/**
 * Reads one HTTP/1.1 request from bytes that anybody may have written (RFC 9112, strictly; pure).
 *
 * @module
 */

/** The longest head that is read, in bytes (16 KiB). */
export const MAX_HEAD_BYTES: number = 16 * 1024;
/** The longest body that is read, in bytes (64 KiB); no route needs one. */
export const MAX_BODY_BYTES: number = 64 * 1024;

/** What was asked. */
export interface ControlRequest {
  readonly method: string;
  /** Without the query, which no route has. */
  readonly path: string;
}

/** Why something is no request that can be answered. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/** What came of the bytes so far. */
export type Reading =
  | { readonly request: ControlRequest; readonly refusal?: undefined }
  | { readonly refusal: Refusal; readonly request?: undefined };

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const CR = 13;
const LF = 10;

/** A head that was understood. */
interface Head {
  readonly request: ControlRequest;
  /** Of the body. */
  readonly length: number;
}

const refuse = (status: number, message: string): { readonly refusal: Refusal } => ({
  refusal: { status, message },
});

/** Takes the bytes of one connection until they are a request, or cannot become one. */
export class RequestReader {
  /** The head so far, in a buffer that grows by doubling: it may come byte by byte. */
  #buffer: Uint8Array = new Uint8Array(1024);
  #length = 0;
  /** How far the head has been looked through. */
  #seen = 0;
  #head: Head | undefined;
  /** Bytes of the body that have not arrived. */
  #missing = 0;

  /** Whether nothing has arrived. */
  get isEmpty(): boolean {
    return this.#length === 0 && this.#head === undefined;
  }

  /**
   * Takes the next bytes.
   *
   * @param bytes As they arrived, cut anywhere.
   * @returns What they are, once that is known; the reader must not be used afterwards.
   */
  push(bytes: Uint8Array): Reading | undefined {
    if (this.#head !== undefined) return this.#body(this.#head.request, bytes.length);
    this.#append(bytes);
    const end = this.#findEnd();
    if (typeof end === "object") return end;
    if (end === undefined) {
      return this.#length > MAX_HEAD_BYTES
        ? refuse(431, `Cannot read the request: its head is longer than ${MAX_HEAD_BYTES} bytes`)
        : undefined;
    }
    if (end > MAX_HEAD_BYTES) {
      return refuse(
        431,
        `Cannot read the request: its head is longer than ${MAX_HEAD_BYTES} bytes`,
      );
    }
    const head = parseHead(latin1(this.#buffer.subarray(0, end - 4)));
    if ("refusal" in head) return head;
    this.#head = head;
    this.#missing = head.length;
    this.#buffer = new Uint8Array(0);
    return this.#body(head.request, this.#length - end);
  }

  #append(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#buffer.length));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
  }

  #body(request: ControlRequest, arrived: number): Reading | undefined {
    this.#missing -= arrived;
    return this.#missing > 0 ? undefined : { request };
  }

  /** Where the body begins. A line that ends without CR is refused: two readers may take it for different things. */
  #findEnd(): number | Reading | undefined {
    const bytes = this.#buffer.subarray(0, this.#length);
    for (let at = bytes.indexOf(LF, this.#seen); at !== -1; at = bytes.indexOf(LF, at + 1)) {
      if (bytes[at - 1] !== CR) {
        return refuse(400, "Cannot read the request: its lines do not end with CR LF");
      }
      // An empty line before the request line is ignored by some servers; here it is none.
      if (at === 1) return refuse(400, "Cannot read the request: it begins with an empty line");
      if (bytes[at - 2] === LF) return at + 1;
      this.#seen = at + 1;
    }
    return undefined;
  }
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function parseHead(head: string): Head | { readonly refusal: Refusal } {
  const [first = "", ...lines] = head.split("\r\n");
  const line = REQUEST_LINE.exec(first);
  if (line === null) return refuse(400, "Cannot read the request: its first line is not HTTP/1.1");
  const [, method = "", target = "", major, minor] = line;
  if (major !== "1") return refuse(505, "Cannot read the request: only HTTP/1.1 is spoken here");
  const headers = new Map<string, string>();
  for (const text of lines) {
    const header = HEADER_LINE.exec(text);
    if (header === null) return refuse(400, "Cannot read the request: a header line is malformed");
    const name = (header[1] ?? "").toLowerCase();
    const value = header[2] ?? "";
    if (headers.has(name) && ["host", "content-length", "transfer-encoding"].includes(name)) {
      return refuse(400, `Cannot read the request: "${name}" is there twice`);
    }
    headers.set(name, value);
  }
  if (minor !== "0" && !headers.has("host")) {
    return refuse(400, 'Cannot read the request: "host" is missing');
  }
  if (headers.has("transfer-encoding")) {
    return refuse(411, 'Cannot read the request: a body needs "content-length" here');
  }
  if (headers.has("expect")) {
    return refuse(417, 'Cannot read the request: "expect" is not supported');
  }
  const length = headers.get("content-length") ?? "0";
  if (!/^\d{1,15}$/.test(length)) {
    return refuse(400, 'Cannot read the request: "content-length" is not a number');
  }
  if (Number(length) > MAX_BODY_BYTES) {
    return refuse(413, `Cannot read the request: its body is longer than ${MAX_BODY_BYTES} bytes`);
  }
  // What proxies are sent (RFC 9112, section 3.2.2).
  const path = target.replace(/^https?:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, "");
  if (path !== "" && !path.startsWith("/") && target !== "*") {
    return refuse(400, "Cannot read the request: its target is not a path");
  }
  return { request: { method, path: path === "" ? "/" : path }, length: Number(length) };
}
