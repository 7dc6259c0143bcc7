/**
 * Ways to break the machine and the protocol, each a small edit of a source. The exploration must find every one.
 *
 * @module
 */

/** One edit. */
export interface Mutant {
  /** What is broken. */
  readonly name: string;
  /** The source, under `src/`. */
  readonly file: string;
  /** Text that stands there exactly once. */
  readonly from: string;
  readonly to: string;
  /** Whether it breaks sequential upgrades. */
  readonly isSequential?: boolean;
}

const owner = "machine_owner.ts";
const child = "machine_child.ts";
const leaving = "machine_leaving.ts";
const rows = "machine_rows.ts";

/** Names of some that are found soon: they are tried in every run of the tests. */
export const QUICK: readonly string[] = [
  "a child that does not go is waited for",
  "a child does not hear commit in probation",
  "a refusal is kept to itself",
  "frames that arrive in pieces are dropped",
  "a stopped process goes on accepting",
  "a child says that it owns and has not taken the names",
  "a child takes the names when it announces itself",
  "ready() of the first generation is not answered",
  "a drained process does not end",
  "a second upgrade takes the place of the first",
  "a child does not say that it owns",
  "the failure is told twice",
  "the process is started twice",
  "a replaced process removes the names",
  "the parent goes as soon as the child is ready",
  "a pause has no deadline",
  "the child is started before everything is released",
  "the process does not accept again",
  "what was released is taken back from a child that lives",
];

/** Edits that break parallel upgrades, and mostly sequential ones, too. */
const PARALLEL: readonly Mutant[] = [
  {
    name: "the upgrade has no deadline",
    file: owner,
    from: `      { type: "start-timer", timer: "upgrade" },
      emit("upgrading"),
      { type: "spawn" },`,
    to: `      emit("upgrading"),
      { type: "spawn" },`,
  },
  {
    name: "the process is started twice",
    file: owner,
    from: `      emit("upgrading"),
      { type: "spawn" },`,
    to: `      emit("upgrading"),
      { type: "spawn" },
      { type: "spawn" },`,
  },
  {
    name: "ready() of the first generation is not answered",
    file: child,
    from: `      ...answer(state.ready),
      emit("ready"),
    ]];
  },
  "names-failed"`,
    to: `      emit("ready"),
    ]];
  },
  "names-failed"`,
  },
  {
    name: "a child accepts when it begins",
    file: child,
    from: `if (state.phase !== "opening") return ignore("nothing was being opened")(state);
    return state.parent === "alive"
      ? [{ ...state, phase: "announced" }, [{ type: "send-parent", frame: "ready" }]]`,
    to: `if (state.phase !== "opening") return ignore("nothing was being opened")(state);
    return state.parent === "alive"
      ? [{ ...state, phase: "announced" }, [{ type: "stop-accepting" }, { type: "send-parent", frame: "ready" }]]`,
  },
  {
    name: "a child that could not be started leaves its request waiting",
    file: owner,
    from: `if (state.phase === "spawning") return recover(state, event.failure);`,
    to:
      `if (state.phase === "spawning") return recover({ ...state, request: null }, event.failure);`,
  },
  {
    name: "the parent stops accepting when it says commit",
    file: owner,
    from: `      emit("child-ready"),
      { type: "send-child", frame: "commit" },`,
    to: `      emit("child-ready"),
      { type: "stop-accepting" },
      { type: "send-child", frame: "commit" },`,
  },
  {
    name: "the deadline ends with ready",
    file: owner,
    from: `      emit("child-ready"),
      { type: "send-child", frame: "commit" },`,
    to: `      emit("child-ready"),
      { type: "clear-timer", timer: "upgrade" },
      { type: "send-child", frame: "commit" },`,
  },
  {
    name: "commit is said twice",
    file: owner,
    from: `      emit("child-ready"),
      { type: "send-child", frame: "commit" },`,
    to: `      emit("child-ready"),
      { type: "send-child", frame: "commit" },
      { type: "send-child", frame: "commit" },`,
  },
  {
    name: "the parent goes as soon as the child is ready",
    file: owner,
    from: `    return [{ ...state, phase: "committing" }, [
      emit("child-ready"),
      { type: "send-child", frame: "commit" },
      emit("committing"),
    ]];`,
    to: `    return [{ name: "draining" }, [
      { type: "clear-timer", timer: "upgrade" },
      { type: "send-child", frame: "commit" },
      { type: "stop-accepting" },
      { type: "release-child" },
      ...answer(state.request),
      { type: "resolve-exit", reason: "upgraded" },
    ]];`,
  },
  {
    name: "the upgrade is answered although nobody owns",
    file: owner,
    from: `    return [{ ...state, phase: "committing" }, [
      emit("child-ready"),`,
    to: `    return [{ ...state, phase: "committing" }, [
      ...answer(state.request),
      emit("child-ready"),`,
  },
  {
    name: "owned does not end the deadline",
    file: owner,
    from: `    return [{ name: "draining" }, [
      { type: "clear-timer", timer: "upgrade" },`,
    to: `    return [{ name: "draining" }, [`,
  },
  {
    name: "the replaced process goes on accepting",
    file: owner,
    from: `      { type: "clear-timer", timer: "upgrade" },
      { type: "stop-accepting" },
      { type: "leave-names" },`,
    to: `      { type: "clear-timer", timer: "upgrade" },
      { type: "leave-names" },`,
  },
  {
    name: "the upgrade is not answered",
    file: owner,
    from: `      ...answer(state.request),
      { type: "resolve-exit", reason: "upgraded" },`,
    to: `      { type: "resolve-exit", reason: "upgraded" },`,
  },
  {
    name: "the replaced process does not leave",
    file: owner,
    from: `      { type: "resolve-exit", reason: "upgraded" },`,
    to: ``,
  },
  {
    name: "a replaced process removes the names",
    file: owner,
    from: `      { type: "leave-names" },`,
    to: `      { type: "remove-names" },`,
  },
  {
    name: "a replaced process takes the names back",
    file: owner,
    from: `      { type: "leave-names" },`,
    to: `      { type: "leave-names" },
      { type: "reclaim-names" },`,
  },
  {
    name: "the child is not let go",
    file: owner,
    from: `      { type: "leave-names" },
      { type: "release-child" },`,
    to: `      { type: "leave-names" },`,
  },
  {
    name: "a child that is late is not told to go",
    file: owner,
    from: `      { type: "abort-child", reason: failure.message },
      { type: "kill-child", signal: "SIGTERM" },
      { type: "start-timer", timer: "kill", patient: accepted },`,
    to: `      { type: "start-timer", timer: "kill", patient: accepted },`,
  },
  {
    name: "a child that does not go is waited for",
    file: owner,
    from: `      { type: "start-timer", timer: "kill", patient: accepted },`,
    to: ``,
  },
  {
    name: "a child that does not go is not killed",
    file: owner,
    from: `      { type: "kill-child", signal: "SIGKILL" },
      { type: "start-timer", timer: "kill" },
    ]];`,
    to: `      { type: "start-timer", timer: "kill" },
    ]];`,
  },
  {
    name: "what survives SIGKILL is waited for",
    file: owner,
    from: `      { type: "kill-child", signal: "SIGKILL" },
      { type: "start-timer", timer: "kill" },
    ]];`,
    to: `      { type: "kill-child", signal: "SIGKILL" },
    ]];`,
  },
  {
    name: "the deadline rings while the child is going",
    file: owner,
    from: `    [
      { type: "clear-timer", timer: "upgrade" },
      { type: "clear-timer", timer: "probation" },
      { type: "abort-child", reason: failure.message },`,
    to: `    [
      { type: "abort-child", reason: failure.message },`,
  },
  {
    name: "the failure is told twice",
    file: owner,
    from: `      ...(answered ? [...reject(state.request, failure), emit("upgrade-failed")] : []),
    ],
  ];
}`,
    to: `      ...reject(state.request, failure),
    ],
  ];
}`,
  },
  {
    name: "the failure of a child that accepted is never told",
    file: owner,
    from: `      ...(answered ? [...reject(state.request, failure), emit("upgrade-failed")] : []),
    ],
  ];
}`,
    to: `    ],
  ];
}`,
  },
  {
    name: "the failure is not told when the child is gone",
    file: owner,
    from:
      `    ...(state.request === null ? [] : [...reject(state.request, failure), emit("upgrade-failed")]),
  ]];`,
    to: `  ]];`,
  },
  {
    name: "the kill timer runs on when the child is gone",
    file: owner,
    from: `    { type: "clear-timer", timer: "kill" },
    { type: "release-child" },
    ...(committed`,
    to: `    { type: "release-child" },
    ...(committed`,
  },
  {
    name: "the upgrade timer runs on when the child is gone",
    file: owner,
    from: `    { type: "clear-timer", timer: "upgrade" },
    { type: "clear-timer", timer: "probation" },
    { type: "clear-timer", timer: "kill" },`,
    to: `    { type: "clear-timer", timer: "probation" },
    { type: "clear-timer", timer: "kill" },`,
  },
  {
    name: "the names are not taken back from a child that died as the owner",
    file: owner,
    from: `    { type: "release-child" },
    ...(committed ? [{ type: "reclaim-names" } as const] : []),`,
    to: `    { type: "release-child" },`,
  },
  {
    name: "a child that comes too late is not told to go",
    file: owner,
    from: `        { type: "abort-child", reason: state.failure.message },
        { type: "kill-child", signal: state.killed ? "SIGKILL" : "SIGTERM" },`,
    to: `        emit("spawned"),`,
  },
  {
    name: "a child that comes after SIGKILL was due is asked only",
    file: owner,
    from: `signal: state.killed ? "SIGKILL" : "SIGTERM" },`,
    to: `signal: "SIGTERM" },`,
  },
  {
    name: "a process that never came to be is waited for",
    file: owner,
    from: `    if (state.phase === "aborting") return recover(state, state.failure);
    return ignore`,
    to: `    return ignore`,
  },
  {
    name: "probation has no end",
    file: owner,
    from: `        { type: "start-timer", timer: "probation" },`,
    to: ``,
  },
  {
    name: "probation keeps the deadline of the upgrade",
    file: owner,
    from: `        { type: "clear-timer", timer: "upgrade" },
        { type: "start-timer", timer: "probation" },`,
    to: `        { type: "start-timer", timer: "probation" },`,
  },
  {
    name: "after probation the commit has no deadline",
    file: owner,
    from: `      { type: "clear-timer", timer: "probation" },
      { type: "start-timer", timer: "upgrade" },
      { type: "send-child", frame: "commit" },`,
    to: `      { type: "clear-timer", timer: "probation" },
      { type: "send-child", frame: "commit" },`,
  },
  {
    name: "after probation nobody says commit",
    file: owner,
    from: `      { type: "start-timer", timer: "upgrade" },
      { type: "send-child", frame: "commit" },`,
    to: `      { type: "start-timer", timer: "upgrade" },`,
  },
  {
    name: "a child that dies in probation is not noticed",
    file: owner,
    from: `  "child-exited": (state, event) => recover(state, rolledBack(event.failure)),`,
    to: `  "child-exited": ignore("the child is ready already"),`,
  },
  {
    name: "a stopped process forgets its child",
    file: owner,
    from: `      { type: "abort-child", reason: "the parent was stopped" },
      { type: "kill-child", signal: "SIGTERM" },
      // One`,
    to: `      // One`,
  },
  {
    name: "a stopped process waits for its child without a deadline",
    file: owner,
    from: `      {
        type: "start-timer",
        timer: "kill",
        patient: state.name === "probation" || phase === "committing",
      },`,
    to: ``,
  },
  {
    name: "a stopped process does not answer its upgrade",
    file: owner,
    from: `    ...reject(state.request, {
      code: "ERR_STOPPED",
      message: "Cannot finish the upgrade: the process was stopped",
    }),`,
    to: ``,
  },
  {
    name: "a second upgrade takes the place of the first",
    file: owner,
    from:
      `    refuse("ERR_UPGRADE_IN_PROGRESS", \`Cannot upgrade: \${IN_PROGRESS[state.phase]}\`)(state, event),`,
    to: `    [{ ...state, request: event.request }, []],`,
  },
  {
    name: "a second upgrade is never answered",
    file: owner,
    from:
      `    refuse("ERR_UPGRADE_IN_PROGRESS", \`Cannot upgrade: \${IN_PROGRESS[state.phase]}\`)(state, event),`,
    to: `    ignore(IN_PROGRESS[state.phase] + event.request)(state),`,
  },
  {
    name: "a child that was called off as the owner goes on",
    file: owner,
    from: `  "parent-abort": revoked,`,
    to: `  "parent-abort": ignore("the process owns the service"),`,
  },
  {
    name: "a child that was called off as the owner removes the names",
    file: owner,
    from: `    { type: "stop-accepting" },
    { type: "resolve-exit", reason: "stopped" },
    emit("aborted"),`,
    to: `    { type: "stop-accepting" },
    { type: "remove-names" },
    { type: "resolve-exit", reason: "stopped" },
    emit("aborted"),`,
  },
  {
    name: "a child that is called off is not answered",
    file: child,
    from: `      ...reject(state.ready, failure),
      { type: "stop-accepting" },`,
    to: `      { type: "stop-accepting" },`,
  },
  {
    name: "a child that is called off goes on accepting",
    file: child,
    from: `      ...reject(state.ready, failure),
      { type: "stop-accepting" },`,
    to: `      ...reject(state.ready, failure),`,
  },
  {
    name: "a child that is called off removes the names of its parent",
    file: child,
    from: `      ...(state.parent === "alive" ? [] : [{ type: "remove-names" } as const]),`,
    to: `      { type: "remove-names" },`,
  },
  {
    name: "a child without a parent waits for its commit",
    file: child,
    from:
      `      return [{ ...next, phase: "owning" }, [emit("parent-gone"), { type: "take-names" }]];`,
    to: `      return [next, [emit("parent-gone")]];`,
  },
  {
    name: "a child that loses its parent gives up",
    file: child,
    from:
      `    state.parent === "alive" ? withoutParent(state) : ignore("there is no parent")(state),`,
    to: `    state.parent === "alive"
      ? abandon(state, "aborted", { code: "ERR_ABORTED", message: "Cannot take over: gone" })
      : ignore("there is no parent")(state),`,
  },
  {
    name: "a child does not say that it owns",
    file: child,
    from:
      `      ...(state.parent === "alive" ? [{ type: "send-parent", frame: "owned" } as const] : []),`,
    to: ``,
  },
  {
    name: "a child says that it owns and has not taken the names",
    file: child,
    from: `      ? [{ ...state, phase: "owning" }, [{ type: "take-names" }]]
      : ignore("this process has not said that it is ready")(state),
  "parent-abort"`,
    to:
      `      ? [{ name: "serving" }, [{ type: "send-parent", frame: "owned" }, ...answer(state.ready)]]
      : ignore("this process has not said that it is ready")(state),
  "parent-abort"`,
  },
  {
    name: "a child takes the names when it announces itself",
    file: child,
    from: `      ? [{ ...state, phase: "announced" }, [{ type: "send-parent", frame: "ready" }]]`,
    to:
      `      ? [{ name: "serving" }, [{ type: "reclaim-names" }, { type: "send-parent", frame: "ready" }, ...answer(state.ready)]]`,
  },
  {
    name: "a child does not hear commit in probation",
    file: child,
    from: `    state.phase === "announced" || state.phase === "probation"
      ?`,
    to: `    state.phase === "announced"
      ?`,
  },
  {
    name: "a child answers ready() twice",
    file: child,
    from: `? [{ ...state, phase: "probation", ready: null }, answer(state.ready)]`,
    to: `? [{ ...state, phase: "probation" }, answer(state.ready)]`,
  },
  {
    name: "a child that cannot open its listeners keeps it to itself",
    file: child,
    from: `      ? giveUp(state, "aborted", event.failure)`,
    to: `      ? [{ ...state, phase: "announced" }, []]`,
  },
  {
    name: "an orphan that cannot write its PID file gives up",
    file: child,
    from: `      case "gone":
        // Nobody else is left: serving without a PID file beats not serving. The failure is logged.
        return [{ name: "serving" }, [...answer(state.ready), emit("ready")]];`,
    to: `      case "gone":
        return abandon(state, "aborted", event.failure);`,
  },
  {
    name: "a drained process does not end",
    file: leaving,
    from:
      `    () => [{ name: "exited", because: "upgraded" }, [emit("drained"), { type: "dispose" }]],`,
    to: `    (state) => [state, [emit("drained")]],`,
  },
  {
    name: "a stopped process ends before its child",
    file: leaving,
    from: `  return state.drained && !state.child`,
    to: `  return state.drained`,
  },
  {
    name: "a stopped process waits for its child for ever",
    file: leaving,
    from: `      ? leave({ ...state, child: false }, [
        { type: "kill-child", signal: "SIGKILL" },`,
    to: `      ? leave(state, [
        { type: "kill-child", signal: "SIGKILL" },`,
  },
  {
    name: "a child of a stopped process that does not go is left behind",
    file: leaving,
    from: `        { type: "kill-child", signal: "SIGKILL" },
        { type: "remove-names" },`,
    to: `        { type: "remove-names" },`,
  },
  {
    name: "the number of a child stays in the PID file of a stopped service",
    file: leaving,
    from: `        { type: "kill-child", signal: "SIGKILL" },
        { type: "remove-names" },`,
    to: `        { type: "kill-child", signal: "SIGKILL" },`,
  },
  {
    name: "listeners that open too late stay open",
    file: leaving,
    from: `  "opened": (state) => [state, [{ type: "stop-accepting" }]],`,
    to: `  "opened": ignore("the process is leaving already"),`,
  },
  {
    name: "a child that comes after the stop is left behind",
    file: leaving,
    from: `      ? [state, [
        { type: "abort-child", reason: "the parent was stopped" },
        { type: "kill-child", signal: "SIGTERM" },
      ]]`,
    to: `      ? [{ ...state, child: false }, [{ type: "clear-timer", timer: "kill" }]]`,
  },
  {
    name: "a stopped process goes on accepting",
    file: rows,
    from: `    ...before,
    { type: "stop-accepting" },`,
    to: `    ...before,`,
  },
  {
    name: "a stopped process leaves its names behind",
    file: rows,
    from: `    { type: "remove-names" },
    { type: "resolve-exit", reason: "stopped" },`,
    to: `    { type: "resolve-exit", reason: "stopped" },`,
  },
  {
    name: "a refusal is kept to itself",
    file: rows,
    from: `[{ type: "reject", request: event.request, failure: { code, message } }]];`,
    to: `[{ type: "ignore", because: \`\${code} \${event.request} \${message}\` }]];`,
  },
  {
    name: "frames that arrive in pieces are dropped",
    file: "protocol.ts",
    from: `    if (rest.length > 0) this.#append(rest.slice());`,
    to: ``,
  },
  {
    name: "garbage reads as nothing",
    file: "protocol.ts",
    from:
      `    throw new UpgradeError("ERR_PROTOCOL", \`Cannot read \${what}: it is not JSON\`, { cause });`,
    to: `    void cause;
    return { v: PROTOCOL_VERSION, type: "commit" };`,
  },
  {
    name: "abort reads as commit",
    file: "protocol.ts",
    from: `  abort: (from) => ({ type: "abort", reason: text(from, "reason") }),`,
    to: `  // deno-lint-ignore no-explicit-any -- broken on purpose
  abort: (from) => ({ type: "commit", reason: text(from, "reason") }) as any,`,
  },
  {
    name: "owned is not known",
    file: "protocol.ts",
    from: `  owned: () => ({ type: "owned" }),`,
    to: `  // deno-lint-ignore no-explicit-any -- broken on purpose
  owned: () => undefined as any,`,
  },
];

/** Edits that break only sequential upgrades. */
const SEQUENTIAL: readonly Mutant[] = [
  {
    name: "a pause has no deadline",
    file: owner,
    from: `      { type: "start-timer", timer: "pause" },
`,
    to: ``,
  },
  {
    name: "the time of the pause runs on when it is over",
    file: owner,
    from: `        { type: "clear-timer", timer: "pause" },
        { type: "start-timer", timer: "upgrade" },
        emit("paused"),`,
    to: `        { type: "start-timer", timer: "upgrade" },
        emit("paused"),`,
  },
  {
    name: "the time of the pause runs on when it has failed",
    file: owner,
    from:
      `    ...(state.phase === "pausing" ? [{ type: "clear-timer", timer: "pause" } as const] : []),
    { type: "release-child" },`,
    to: `    { type: "release-child" },`,
  },
  {
    name: "the time of the pause runs on when the process is stopped",
    file: owner,
    from: `    ...(phase === "pausing" ? [{ type: "clear-timer", timer: "pause" } as const] : []),
    { type: "clear-timer", timer: "upgrade" },`,
    to: `    { type: "clear-timer", timer: "upgrade" },`,
  },
  {
    name: "nobody is waited for when resources are released",
    file: owner,
    from: `        { type: "start-timer", timer: "upgrade" },
        emit("paused"),`,
    to: `        emit("paused"),`,
  },
  {
    name: "the sockets are closed instead of paused",
    file: owner,
    from: `      { type: "pause-accepting" },
`,
    to: `      { type: "pause-accepting" },
      { type: "stop-accepting" },
`,
  },
  {
    name: "nothing is paused",
    file: owner,
    from: `? [{ ...state, paused: true, phase: "pausing" }, [
      { type: "start-timer", timer: "pause" },
      emit("upgrading"),
      { type: "pause-accepting" },
    ]]`,
    to: `? [{ ...state, paused: true, phase: "releasing" }, [
      { type: "start-timer", timer: "upgrade" },
      emit("upgrading"),
      { type: "release-resources" },
    ]]`,
  },
  {
    name: "the child is started before everything is released",
    file: owner,
    from: `      ? [{ ...state, phase: "releasing" }, [
        { type: "clear-timer", timer: "pause" },
        { type: "start-timer", timer: "upgrade" },
        emit("paused"),
        { type: "release-resources" },`,
    to: `      ? [{ ...state, phase: "spawning" }, [
        { type: "clear-timer", timer: "pause" },
        { type: "start-timer", timer: "upgrade" },
        emit("paused"),
        { type: "release-resources" },
        { type: "spawn" },`,
  },
  {
    name: "the child is started although something could not be released",
    file: owner,
    from: `      ? turnBack(state, event.failure)
      : ignore("nothing was being released")(state),`,
    to: `      ? [{ ...state, phase: "spawning" }, [{ type: "spawn" }]]
      : ignore("nothing was being released")(state),`,
  },
  {
    name: "what was released too late is forgotten",
    file: owner,
    from: `        return turnBack(state, failure);
      case "resuming"`,
    to: `        return resumed(state, failure, null);
      case "resuming"`,
  },
  {
    name: "an upgrade that turns back is taken for one with a child",
    file: owner,
    from: `    { type: "release-child" },
    ...effects,`,
    to: `    { type: "start-timer", timer: "kill" },
    { type: "release-child" },
    ...effects,`,
  },
  {
    name: "taking back has no deadline",
    file: owner,
    from: `    [{ type: "start-timer", timer: "upgrade" }, { type: "reacquire-resources" }],`,
    to: `    [{ type: "clear-timer", timer: "upgrade" }, { type: "reacquire-resources" }],`,
  },
  {
    name: "the process does not accept again",
    file: owner,
    from: `    { type: "resume-accepting" },
`,
    to: ``,
  },
  {
    name: "the process accepts before everything is taken back",
    file: owner,
    from: `    [{ type: "start-timer", timer: "upgrade" }, { type: "reacquire-resources" }],`,
    to: `    [
      { type: "start-timer", timer: "upgrade" },
      { type: "resume-accepting" },
      { type: "reacquire-resources" },
    ],`,
  },
  {
    name: "what is taken back too late is waited for",
    file: owner,
    from: `      case "resuming":
        return resumed(state, state.failure, TIMED_OUT.resuming);`,
    to: `      case "resuming":
        return ignore("it takes its time")(state);`,
  },
  {
    name: "the time of the upgrade runs on when all is taken back",
    file: owner,
    from: `    { type: "clear-timer", timer: "upgrade" },
    { type: "resume-accepting" },`,
    to: `    { type: "resume-accepting" },`,
  },
  {
    name: "the failure of a sequential upgrade is not told",
    file: owner,
    from: `    ...reject(state.request, told),
`,
    to: `    ...reject(null, told),
`,
  },
  {
    name: "the process goes on as after a parallel upgrade",
    file: owner,
    from: `  if (state.paused) {
    const [next`,
    to: `  if (state.paused && failure.message === "") {
    const [next`,
  },
  {
    name: "what was released is taken back from a child that lives",
    file: owner,
    from: `        return callOff(state, failure, state.phase === "committing");
    }
  },
  "kill-timeout"`,
    to: `        return state.paused
          ? resume(state, failure)
          : callOff(state, failure, state.phase === "committing");
    }
  },
  "kill-timeout"`,
  },
  {
    name: "what was released is taken back from a child that is only asked to go",
    file: owner,
    from:
      `    return state.killed ? recover(state, state.failure) : [{ ...state, killed: true }, [`,
    to:
      `    return state.killed || state.paused ? recover(state, state.failure) : [{ ...state, killed: true }, [`,
  },
  {
    name: "the caller hears of the failure before the child has let go",
    file: owner,
    from: `  const answered = accepted && !paused;
`,
    to: `  const answered = accepted;
`,
  },
  {
    name: "the caller hears of it when a child was ready all the same",
    file: owner,
    from: `      const answered = state.request !== null && !state.paused;
`,
    to: `      const answered = state.request !== null;
`,
  },
  {
    name: "probation forgets the pause",
    file: owner,
    from: `      return [{ name: "probation", request: state.request, paused: state.paused }, [`,
    to: `      return [{ name: "probation", request: state.request, paused: false }, [`,
  },
  {
    name: "the pause is forgotten after probation",
    file: owner,
    from: `      paused: state.paused,
      phase: "committing",`,
    to: `      paused: false,
      phase: "committing",`,
  },
  {
    name: "the pause is forgotten when the child is called off",
    file: owner,
    from: `      probation: false,
      paused,
      phase: "aborting",`,
    to: `      probation: false,
      paused: false,
      phase: "aborting",`,
  },
  {
    name: "the parent accepts again beside its child",
    file: owner,
    from: `    return [{ ...state, phase: "committing" }, [
      emit("child-ready"),
      { type: "send-child", frame: "commit" },`,
    to: `    return [{ ...state, phase: "committing" }, [
      emit("child-ready"),
      ...(state.paused ? [{ type: "resume-accepting" } as const] : []),
      { type: "send-child", frame: "commit" },`,
  },
  {
    name: "a process that is stopped in a pause waits for a child",
    file: owner,
    from: `  const child = phase !== "pausing" && phase !== "releasing" && phase !== "resuming";
`,
    to: `  const child = true as boolean;
`,
  },
  {
    name: "a process that is stopped in a pause does not let go of its attempt",
    file: owner,
    from: `    ...(child || phase === "resuming" ? [] : [{ type: "release-child" } as const]),
`,
    to: `    ...(child || phase !== "resuming" ? [] : [{ type: "release-child" } as const]),
`,
  },
];

/** All edits. */
export const MUTANTS: readonly Mutant[] = [
  ...PARALLEL,
  ...SEQUENTIAL.map((mutant) => ({ ...mutant, isSequential: true })),
];
