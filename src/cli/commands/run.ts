/**
 * What `changeover run` is.
 *
 * @module
 */

import type { Command } from "../command.ts";

/** The description of the command. */
export const run: Command = {
  name: "run",
  summary: "keeps a process in the foreground around a server that replaces itself",
  usage: "[options] -- COMMAND [ARGUMENT...]",
  about: [
    "For terminals, containers (as first process) and supervisors that want one process which",
    "stays: a server that upgrades itself ends with every upgrade, and its successor goes on.",
    "",
    "Starts COMMAND; passes SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH on",
    "to its newest generation, once; takes note of the ends of all others, so that no zombies",
    "stay; and ends when the newest generation has ended, with its exit status.",
    "",
    "With --listen it opens sockets, passes them to COMMAND and keeps them while COMMAND is",
    "away: connections wait for it. They are passed as systemd does it (LISTEN_FDS), which this",
    "library and many other programs understand.",
  ],
  options: [
    {
      name: "listen",
      short: "l",
      value: "ADDRESS[=NAME]",
      repeats: true,
      help: [
        "open this socket, keep it and pass it on: 8080, 127.0.0.1:8080,",
        "[::1]:8080 or unix:/run/app.sock; the server claims it by NAME or by",
        "address; can be repeated",
      ],
    },
    {
      name: "restart",
      value: "WHEN",
      help: [
        "on-failure: start COMMAND again when its newest generation has",
        "crashed or failed, at first after 100 ms, then after pauses that",
        "grow to 30 s; default: no",
      ],
    },
    {
      name: "pid-file",
      value: "PATH",
      help: [
        "write the number of this process there; it stays the same through",
        "every upgrade",
      ],
    },
    {
      name: "grace",
      value: "TIME",
      help: [
        "how long after a stop signal the service may take, such as 25s; what",
        "is left then is killed; default: as long as it wants",
      ],
    },
  ],
  examples: [
    ["changeover run -- node server.js", "in a terminal: Ctrl-C stops the newest generation"],
    [
      "changeover run --listen 8080=web --restart on-failure -- node server.js",
      "connections survive even a crash",
    ],
    ["changeover run --grace 8s -- deno run -A server.ts", "in a container: see docs/run.md"],
  ],
  exitCodes: [
    ["0-125", "what the newest generation ended with"],
    [2, "also: the command line is wrong, or a socket or file could not be opened"],
    [126, "COMMAND cannot be executed"],
    [127, "COMMAND was not found"],
    ["128+N", "signal N ended the newest generation"],
  ],
  takesCommand: true,
  load: () => import("../run/execute.ts"),
};
