/**
 * What `changeover upgrade` is.
 *
 * @module
 */

import type { Command } from "../command.ts";
import { TARGET_OPTIONS } from "./target_options.ts";

/** The description of the command. */
export const upgrade: Command = {
  name: "upgrade",
  summary: "starts the new version of a service and hands over to it",
  usage: "(--control PATH | --pid-file PATH | --pid N) [options]",
  about: [
    "Asks the running process to start its successor, and waits until it is decided: the new",
    "process serves, or it does not and the old one goes on as if nothing had happened. On",
    "failure the last lines that the new process wrote are shown.",
    "",
    "With --control the service itself tells how it went. With --pid-file the signal is sent",
    "to the process that the file names, and it is upgraded when the file names another one;",
    "why an upgrade failed cannot be known this way. With --pid it is decided when the process",
    "has left, so only after its last connection.",
  ],
  options: [
    ...TARGET_OPTIONS,
    {
      name: "timeout",
      short: "t",
      value: "TIME",
      help: [
        "how long to wait, such as 500ms, 30s or 2m; default 120s. The service has",
        "a limit of its own, upgradeTimeoutMs (60s), after which it gives up",
      ],
    },
    {
      name: "signal",
      value: "NAME",
      help: ["with --pid-file and --pid: what to send; default SIGHUP"],
    },
    { name: "json", help: ["the outcome as JSON on standard output"] },
    { name: "quiet", short: "q", help: ["no progress; outcome and errors are still said"] },
  ],
  examples: [
    [
      "changeover upgrade --control /run/app/control.sock",
      "replace the service, and know how it went",
    ],
    [
      "changeover upgrade --control /run/app/control.sock --timeout 5m && echo deployed",
      "in a deploy script, with a slow start",
    ],
    ["changeover upgrade --pid-file /run/app.pid", "a service without a control socket"],
    ["changeover upgrade --control /run/app/control.sock --json | jq .report.pid", "for programs"],
  ],
  exitCodes: [
    [0, "upgraded: the new process serves"],
    [1, "failed, or refused: the old process still serves"],
    [2, "the command line is wrong; nothing was done"],
    [3, "nothing to talk to: no such process or socket, or not for this user"],
    [4, "not decided within --timeout; the upgrade goes on"],
  ],
  load: () => import("../upgrade.ts"),
};
