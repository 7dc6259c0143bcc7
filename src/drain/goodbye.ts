/**
 * `Connection: close` on a response of `node:http`, decided when its head is written.
 *
 * @module
 */

/** What is used of a response. */
export interface Response {
  readonly headersSent: boolean;
  readonly writableEnded?: boolean;
  readonly writableFinished?: boolean;
  shouldKeepAlive: boolean;
  getHeader(name: string): unknown;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, ...rest: unknown[]): unknown;
  once(event: "close", listener: () => void): unknown;
}

const isConnection = (name: unknown) => String(name).toLowerCase() === "connection";

/** Takes `Connection` out of what a handler gave to `writeHead`. @returns Its value, and the rest. */
function takeConnection(headers: unknown): [unknown, unknown] {
  if (Array.isArray(headers)) {
    // Either [[name, value], ...] or [name, value, name, value, ...].
    const pairs: unknown[][] = Array.isArray(headers[0])
      ? headers
      : Array.from({ length: headers.length / 2 }, (_, at) => headers.slice(2 * at, 2 * at + 2));
    const own = pairs.find(([name]) => isConnection(name))?.[1];
    if (own === undefined) return [undefined, headers];
    const rest = pairs.filter(([name]) => !isConnection(name));
    return [own, Array.isArray(headers[0]) ? rest : rest.flat()];
  }
  if (typeof headers !== "object" || headers === null) return [undefined, headers];
  const name = Object.keys(headers).find(isConnection);
  if (name === undefined) return [undefined, headers];
  const { [name]: own, ...rest } = headers as Record<string, unknown>;
  return [own, rest];
}

/** What the handler wanted to say in `Connection`, with `close` instead of `keep-alive`. */
export function closing(own: unknown): string {
  const others = String(own ?? "").split(",").map((token) => token.trim())
    .filter((token) => token !== "" && !/^(?:close|keep-alive)$/i.test(token));
  return [...others, "close"].join(", ");
}

/**
 * Asks, when the head of a response is about to be written, whether it is to say goodbye.
 *
 * All ways of `node:http` to send a head lead through `writeHead`, on every runtime.
 *
 * @param response Whose head was not sent yet.
 * @param isLast Whether the connection is to be closed after this response.
 */
export function sayGoodbye(response: Response, isLast: () => boolean): void {
  const { writeHead } = response;
  response.writeHead = function (status: number, ...rest: unknown[]): unknown {
    // An informational response is not the last one.
    if (status >= 200 && !response.headersSent && isLast()) {
      const headers = rest.length - 1;
      const [own, others] = takeConnection(rest[headers]);
      if (own !== undefined) rest[headers] = others;
      response.shouldKeepAlive = false;
      response.setHeader("Connection", closing(own ?? response.getHeader("Connection")));
    }
    return writeHead.call(response, status, ...rest);
  };
}
