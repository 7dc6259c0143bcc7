/**
 * What `changeover status` is.
 *
 * @module
 */

import type { Command } from "../command.ts";
import { TARGET_OPTIONS } from "./target_options.ts";

/** The description of the command. */
export const status: Command = {
  name: "status",
  summary: "tells what a service is doing",
  usage: "(--control PATH | --pid-file PATH | --pid N) [options]",
  about: [
    "Tells generation, process, sockets, connections, older generations that still have",
    "connections to finish, and the last upgrades. With --pid-file or --pid: only whether",
    "the process runs.",
    "",
    "With --watch it goes on, a line for each thing that happens, across upgrades, until the",
    "service has stopped or Ctrl-C is pressed.",
  ],
  options: [
    ...TARGET_OPTIONS,
    { name: "watch", short: "w", help: ["go on and tell what happens"] },
    {
      name: "json",
      help: ["what Upgrader.status() returns; with --watch an object per line, with `event`"],
    },
    {
      name: "timeout",
      short: "t",
      value: "TIME",
      help: [
        "how long to wait for an answer, such as 500ms or 30s; default 10s. With",
        "--watch also: how long nobody need answer until the service counts as gone",
      ],
    },
  ],
  examples: [
    ["changeover status --control /run/app/control.sock", "look"],
    ["changeover status --control /run/app/control.sock --json | jq .generation", "for programs"],
    ["changeover status --control /run/app/control.sock --watch", "stay and see upgrades pass"],
    ["changeover status --pid-file /run/app.pid && echo runs", "does it run at all?"],
  ],
  exitCodes: [
    [0, "the service runs; with --watch: it has stopped in order"],
    [2, "the command line is wrong"],
    [3, "nothing to talk to: no such process or socket, or not for this user"],
    [4, "no answer within --timeout"],
  ],
  load: () => import("../status.ts"),
};
