/**
 * The options that say which service is meant.
 *
 * @module
 */

import type { Option } from "../command.ts";

/** For every command that needs a service; `target.ts` reads them. */
export const TARGET_OPTIONS: readonly Option[] = [
  {
    name: "control",
    value: "PATH",
    help: ["the control socket of the service: the option `control` of Upgrader.create()"],
  },
  {
    name: "pid-file",
    value: "PATH",
    help: ["its PID file: the option `pidFile`; works by signals and tells less"],
  },
  { name: "pid", value: "N", help: ["its process id; works by signals and tells least"] },
];
