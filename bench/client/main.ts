/**
 * The client process of the benchmark: one at a time, the same for every server, so that it costs all of them alike.
 *
 * @module
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { type Load, startLoad } from "../load/load.ts";
import type { Answer, LoadOrder, Order } from "./protocol.ts";
import { TimelineRecorder } from "./timeline.ts";

const SLICE_MS = 100;

interface Running {
  readonly load: Load;
  readonly webSockets: Load | undefined;
  readonly recorder: TimelineRecorder;
}

let running: Running | undefined;

createInterface({ input: process.stdin })
  .on("line", (line) => {
    obey(JSON.parse(line) as Order).catch((error) =>
      say({ kind: "error", message: String(error) })
    );
  })
  .on("close", () => process.exit());

async function obey(order: Order): Promise<void> {
  if (order.kind === "start") {
    running = start(order.order);
    return say({ kind: "started" });
  }
  if (running === undefined) throw new Error("Cannot do that: no load runs");
  if (order.kind === "mark") {
    running.load.mark(order.label);
    running.webSockets?.mark(order.label);
    return;
  }
  const { load, webSockets, recorder } = running;
  running = undefined;
  const [http, sockets] = await Promise.all([load.stop(), webSockets?.stop() ?? null]);
  say({ kind: "report", report: { http, webSockets: sockets, timeline: recorder.report() } });
}

function start({ load, webSockets }: LoadOrder): Running {
  const recorder = new TimelineRecorder(SLICE_MS, performance.timeOrigin + performance.now());
  return {
    recorder,
    load: startLoad({
      ...load,
      identify: (response) => {
        const identity = response.field("x-generation") ?? "unknown";
        recorder.record(identity, performance.timeOrigin + performance.now());
        return identity;
      },
    }),
    webSockets: webSockets && startLoad(webSockets),
  };
}

function say(answer: Answer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
