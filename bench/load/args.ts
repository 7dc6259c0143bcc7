/**
 * The command line of the load client.
 *
 * @module
 */

import { parseArgs } from "node:util";
import type { LoadOptions } from "./options.ts";
import type { PopulationOptions } from "./population.ts";

/** What the command line asks for. */
export type Command =
  | {
    readonly kind: "run";
    readonly options: LoadOptions;
    readonly json: boolean;
    readonly stdin: boolean;
  }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

/** The text of `--help`. */
export const HELP = `Usage: node bench/load/main.ts --url http://127.0.0.1:8080/ [options]

  --url URL             where to send requests (http only; the host should be an address)
  --unix PATH           connect to this Unix socket instead; the URL gives only the path
  --seconds N           how long (default 10)
  --max-requests N      stop after so many requests

  --keep-alive N        clients that keep their connection
  --one-shot N          clients with one connection per request
  --post N              clients that send bodies and check the echo
  --pipelined N         clients that send several requests in one write
  --slow-reader N       clients that pause while they read
  --slow-writer N       clients that pause while they write a body
  --web-socket N        clients of a WebSocket that echoes text
  --sse N               clients of a stream of events, whose ids are consecutive numbers
                        (no population at all: 20 keep-alive, 5 one-shot)
  --web-socket-path P   where the WebSocket is (default: the URL's)
  --sse-path P          where the stream is (default: the URL's)
  --post-bytes N        length of bodies (default 1024)
  --echo body|digest    what the server does with a body (default body)
  --depth N             requests per pipelined write (default 4)
  --pause-ms N          pause of the slow ones (default 5)
  --think-ms N          pause between a response and the next request (default 0: saturate)
  --prober-ms N         one probe every N ms, 0 for none (default 5)

  --timeout-ms N        per request (default 5000)
  --expect-status N     (default 200)
  --stdin               read commands from standard input: "mark LABEL", "snapshot" (one JSON line), "stop"
  --json                print the report as one JSON line
  --help

Exit code: 0 when nothing was lost and the account is consistent, 1 when not, 2 for a wrong command line.
`;

const NUMBERS = [
  "seconds",
  "max-requests",
  "keep-alive",
  "one-shot",
  "post",
  "pipelined",
  "slow-reader",
  "slow-writer",
  "web-socket",
  "sse",
  "post-bytes",
  "depth",
  "pause-ms",
  "think-ms",
  "prober-ms",
  "timeout-ms",
  "expect-status",
] as const;

type Numbers = { readonly [name in typeof NUMBERS[number]]?: number };

/** Reads the command line. Never throws. */
export function readArgs(args: readonly string[]): Command {
  try {
    return read(args);
  } catch (error) {
    return { kind: "wrong", message: error instanceof Error ? error.message : String(error) };
  }
}

function read(args: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...Object.fromEntries(NUMBERS.map((name) => [name, { type: "string" as const }])),
      url: { type: "string" },
      unix: { type: "string" },
      echo: { type: "string" },
      "web-socket-path": { type: "string" },
      "sse-path": { type: "string" },
      stdin: { type: "boolean" },
      json: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return { kind: "help" };
  const { url: text, unix, echo = "body" } = values;
  if (text === undefined && unix === undefined) throw new Error('Cannot start: "--url" is missing');
  if (echo !== "body" && echo !== "digest") {
    throw new Error(`Cannot use "--echo": "${echo}" is unknown`);
  }
  const url = new URL(text ?? "http://localhost/");
  if (url.protocol !== "http:") {
    throw new Error(`Cannot use "--url": "${url.protocol}" is not supported`);
  }
  const numbers = numbersOf(values as Readonly<Record<string, unknown>>);
  const maxRequests = numbers["max-requests"];
  const options: LoadOptions = {
    target: unix !== undefined
      ? { path: unix }
      : { port: Number(url.port || 80), hostname: url.hostname.replace(/^\[|\]$/g, "") },
    path: `${url.pathname}${url.search}`,
    ...populationsOf(numbers, { webSocket: values["web-socket-path"], sse: values["sse-path"] }),
    thinkMs: numbers["think-ms"] ?? 0,
    proberMs: numbers["prober-ms"] ?? 5,
    maxMs: (numbers.seconds ?? 10) * 1000,
    timeoutMs: numbers["timeout-ms"] ?? 5000,
    expectStatus: numbers["expect-status"] ?? 200,
    echo,
    ...(maxRequests === undefined ? {} : { maxRequests }),
  };
  return { kind: "run", options, json: values.json === true, stdin: values.stdin === true };
}

function numbersOf(values: Readonly<Record<string, unknown>>): Numbers {
  const numbers: Record<string, number> = {};
  for (const name of NUMBERS) {
    const value = values[name];
    if (value === undefined) continue;
    if (!/^[0-9]+(?:\.[0-9]+)?$/.test(String(value))) {
      throw new Error(`Cannot use "--${name}": "${value}" is not a number`);
    }
    numbers[name] = Number(value);
  }
  return numbers;
}

function populationsOf(
  numbers: Numbers,
  paths: { readonly [kind in "webSocket" | "sse"]: string | undefined },
): Partial<LoadOptions> {
  const slow = { bytes: numbers["post-bytes"] ?? 1024, pauseMs: numbers["pause-ms"] ?? 5 };
  const of = (clients = 0): PopulationOptions => ({ clients, ...slow });
  const some = {
    keepAlive: of(numbers["keep-alive"]),
    oneShot: of(numbers["one-shot"]),
    post: of(numbers.post),
    pipelined: { ...of(numbers.pipelined), depth: numbers.depth ?? 4 },
    slowReader: of(numbers["slow-reader"]),
    slowWriter: of(numbers["slow-writer"]),
    webSocket: { ...of(numbers["web-socket"]), ...pathOf(paths.webSocket) },
    sse: { ...of(numbers.sse), ...pathOf(paths.sse) },
  };
  const any = Object.values(some).some(({ clients }) => clients > 0);
  const asked = [
    "keep-alive",
    "one-shot",
    "post",
    "pipelined",
    "slow-reader",
    "slow-writer",
    "web-socket",
    "sse",
  ] as const;
  // "--keep-alive 0" is how to ask for the prober alone.
  return any || asked.some((name) => numbers[name] !== undefined)
    ? some
    : { keepAlive: 20, oneShot: 5 };
}

function pathOf(path: string | undefined): { readonly path?: string } {
  return path === undefined ? {} : { path };
}
