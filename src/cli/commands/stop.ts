/**
 * What `changeover stop` is.
 *
 * @module
 */

import type { Command } from "../command.ts";
import { TARGET_OPTIONS } from "./target_options.ts";

/** The description of the command. */
export const stop: Command = {
  name: "stop",
  summary: "lets a service finish its connections and end",
  usage: "(--control PATH | --pid-file PATH | --pid N) [options]",
  about: [
    "Asks the process to stop, and waits until it is gone: it accepts nothing new, finishes",
    "what is open (at most drainTimeoutMs, default 30s), and ends. It is never killed: when",
    "the time is over this command ends, and the process goes on finishing.",
  ],
  options: [
    ...TARGET_OPTIONS,
    {
      name: "timeout",
      short: "t",
      value: "TIME",
      help: ["how long to wait until it is gone, such as 10s or 2m; default 60s"],
    },
    {
      name: "signal",
      value: "NAME",
      help: ["with --pid-file and --pid: what to send; default SIGTERM"],
    },
    { name: "json", help: ["the outcome as JSON on standard output"] },
    { name: "quiet", short: "q", help: ["no progress; outcome and errors are still said"] },
  ],
  examples: [
    ["changeover stop --control /run/app/control.sock", "stop, and come back when it is gone"],
    ["changeover stop --pid-file /run/app.pid --timeout 2m", "with connections that last"],
  ],
  exitCodes: [
    [0, "the process is gone"],
    [1, "refused, or another process took over meanwhile: the service still runs"],
    [2, "the command line is wrong; nothing was done"],
    [3, "nothing to talk to: no such process or socket, or not for this user"],
    [4, "the process is still there after --timeout; it goes on finishing"],
  ],
  load: () => import("../stop.ts"),
};
