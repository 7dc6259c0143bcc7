/**
 * What the control socket answers: HTTP/1.1 with JSON, one answer per connection.
 *
 * @module
 */

import { type ErrorCode, UpgradeError } from "../errors.ts";

/** One answer. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** For 405: what is allowed. */
  readonly allow?: string;
}

/** An error as it is told to a client. */
export interface ControlError {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly childOutput?: string;
  readonly exitCode?: number;
  readonly signal?: string;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  202: "Accepted",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  411: "Length Required",
  413: "Content Too Large",
  417: "Expectation Failed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** Refused: nothing was started. */
const REFUSED: readonly ErrorCode[] = [
  "ERR_UPGRADE_IN_PROGRESS",
  "ERR_TOO_MANY_GENERATIONS",
  "ERR_ALREADY_UPGRADED",
  "ERR_NOT_READY",
  "ERR_STOPPED",
];

/** Tried: the child did not become the owner. */
const FAILED: readonly ErrorCode[] = [
  "ERR_SPAWN",
  "ERR_CHILD_EXITED",
  "ERR_CHILD_FAILED",
  "ERR_ABORTED",
  "ERR_PROTOCOL",
  "ERR_ADDRESS",
  "ERR_ADOPT",
  "ERR_ROLLED_BACK",
];

/** Writes a value as JSON. */
export function json(status: number, value: unknown): Answer {
  return { status, type: "application/json", text: JSON.stringify(value) + "\n" };
}

/** Says that a request was not understood. */
export function refusal(status: number, message: string, allow?: string): Answer {
  const code = `ERR_HTTP_${status}`;
  const answer = json(status, { ok: false, error: { name: "HttpError", code, message } });
  return allow === undefined ? answer : { ...answer, allow };
}

/** Says why an upgrade failed. */
export function failure(error: unknown): Answer {
  const code = UpgradeError.is(error) ? error.code : undefined;
  const status = code === undefined
    ? 500
    : code === "ERR_UPGRADE_TIMEOUT"
    ? 504
    : REFUSED.includes(code)
    ? 409
    : FAILED.includes(code)
    ? 502
    : 500;
  return json(status, { ok: false, error: tellError(error) });
}

/** An error as plain JSON. */
export function tellError(error: unknown): ControlError {
  if (!UpgradeError.is(error)) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { name, code: "ERR_INTERNAL", message };
  }
  const { name, code, message, childOutput, exitCode, signal } = error;
  return {
    name,
    code,
    message,
    ...(childOutput === undefined ? {} : { childOutput }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** The head of an answer; without a length it lasts until the connection ends. */
export function head(
  { status, type, allow }: Omit<Answer, "text">,
  length: number | undefined,
): string {
  return [
    `HTTP/1.1 ${status} ${REASONS[status] ?? "Unknown"}`,
    `Content-Type: ${type}`,
    ...(length === undefined ? [] : [`Content-Length: ${length}`]),
    ...(allow === undefined ? [] : [`Allow: ${allow}`]),
    "Cache-Control: no-store",
    "Connection: close",
    "\r\n",
  ].join("\r\n");
}

/** A whole answer, as bytes on the wire. */
export function wire(answer: Answer, withBody = true): string {
  const length = new TextEncoder().encode(answer.text).length;
  return head(answer, length) + (withBody ? answer.text : "");
}
