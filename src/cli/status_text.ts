/**
 * The status of a service, and what happens to it, for people.
 *
 * It may come from another version of the library, so nothing is taken for granted but what {@linkcode Control} has checked.
 *
 * @module
 */

import type { UpgradeRecord } from "../history.ts";
import type { UpgraderStatus } from "../report.ts";
import { spellDuration } from "./duration.ts";
import { printable, type Style } from "./text.ts";

/** What a status can be that was not checked. */
export type Told = Pick<UpgraderStatus, "generation" | "pid"> & Partial<UpgraderStatus>;

/**
 * All that is known.
 *
 * @param status What the service said.
 * @param style How to emphasise.
 * @param now Milliseconds since the epoch.
 * @returns Lines, with the last newline.
 */
export function statusText(status: Told, style: Style, now: number = Date.now()): string {
  const { sockets = [], draining = [], history = [], connections = 0, drain } = status;
  const lines = [
    `generation ${status.generation} (${whoIs(status)}): ${stateOf(status, style)}`,
    ...sockets.map((socket) => `  listens on ${spellAddress(socket)}`),
    `  ${count(connections, "connection")} open`,
    ...draining.map(({ generation, pid, since }) =>
      `  generation ${generation} (pid ${pid}) finishes its connections${
        since === undefined ? "" : `, since ${spellDuration(now - since)}`
      }`
    ),
  ];
  if (drain) {
    const { served = 0, cut = 0, durationMs = 0 } = drain;
    lines.push(
      `  drains since ${spellDuration(durationMs)}: ${count(served, "request")} served, ${cut} cut`,
    );
  }
  if (history.length > 0) lines.push("last upgrades:");
  for (const record of history) {
    const ago = `${spellDuration(Math.max(0, now - record.at))} ago`;
    lines.push(`  ${ago.padStart(14)}  ${spellRecord(record, style)}`);
  }
  return lines.map((text) => `${text}\n`).join("");
}

/** A line for somebody who watches. */
export function statusLine(status: Told, style: Style): string {
  const where = (status.sockets ?? []).map(spellAddress).join(", ");
  return `generation ${status.generation} (${whoIs(status)}): ${stateOf(status, style)}${
    where === "" ? "" : ` on ${where}`
  }, ${count(status.connections ?? 0, "connection")}`;
}

/** What happened, for somebody who watches. */
export function eventLine(event: string, data: EventData, style: Style): string {
  const who = typeof data?.generation === "number" ? `generation ${data.generation}: ` : "";
  return printable(who) + (describe(event, data, style) ?? printable(event));
}

// deno-lint-ignore no-explicit-any -- see the module
type EventData = any;

function describe(event: string, data: EventData, style: Style): string | undefined {
  switch (event) {
    case "ready":
      return style.good("serves");
    case "upgrading":
      return "upgrade: starting the new process";
    case "paused":
      return "upgrade: paused: the connections are finished, new clients wait";
    case "released":
      return "upgrade: the resources are released; starting the new process";
    case "spawned":
      return "upgrade: started; waiting until it is ready";
    case "child-joined":
      return "upgrade: initialising";
    case "child-ready":
      return "upgrade: ready; waiting until it may take over";
    case "committing":
      return "upgrade: taking over";
    case "upgraded": {
      const { generation, pid, durationMs } = data?.report ?? {};
      return style.good("upgraded") +
        (pid === undefined ? "" : printable(
          `: generation ${generation} (pid ${pid}) took over after ${spellDuration(durationMs)}`,
        ));
    }
    case "upgrade-failed":
      return style.bad("upgrade failed") +
        printable(data?.error?.message ? ` (${data.error.code}): ${data.error.message}` : "");
    case "resumed":
      return "accepts again";
    case "stopping":
      return "stops";
    case "drained": {
      const { served = 0, cut = 0, durationMs = 0 } = data?.drain ?? {};
      return `has finished its connections after ${spellDuration(durationMs)}, ${
        printable(`${served} requests served meanwhile, ${cut} connections cut`)
      }`;
    }
    case "parent-gone":
      return "the generation before is gone";
    default:
      return undefined;
  }
}

function whoIs({ pid, runtime, version }: Told): string {
  return printable(
    `pid ${pid}${runtime === undefined ? "" : `, ${runtime} ${version ?? ""}`}`.trim(),
  );
}

function stateOf({ state }: Told, style: Style): string {
  if (state === undefined) return "runs";
  return state === "serving" ? style.good(state) : printable(state);
}

function spellAddress(address: NonNullable<Told["sockets"]>[number]): string {
  const where = address.kind === "unix"
    ? `unix:${address.path}`
    : `${address.kind === "udp" ? "udp " : ""}${
      address.hostname?.includes(":") ? `[${address.hostname}]` : address.hostname
    }:${address.port}`;
  // Without a name of its own a socket is called by its address.
  const named = address.name !== undefined && !/[:/]/.test(address.name);
  return printable(named ? `${where} (${address.name})` : where);
}

function spellRecord(record: UpgradeRecord, style: Style): string {
  const { generation, result, report, code, message } = record;
  if (result === "upgraded") {
    const to = report === undefined
      ? ""
      : ` to ${report.generation} (${report.runtime}) in ${spellDuration(report.durationMs)}`;
    return style.good("upgraded") + printable(` from generation ${generation}${to}`);
  }
  const first = (message ?? "").split("\n")[0];
  return style.bad("failed") + printable(` in generation ${generation}: ${code ?? ""} ${first}`);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
