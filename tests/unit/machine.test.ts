import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  type Effect,
  type Event,
  type Failure,
  initialState,
  type Starting,
  type State,
  type Step,
  type Stopping,
  transition,
  type Upgrading,
} from "../../src/machine.ts";

const FAILURE: Failure = { code: "ERR_CHILD_FAILED", message: "no" };
const SPAWN_FAILURE: Failure = { code: "ERR_SPAWN", message: "no program" };
const EXITED: Failure = { code: "ERR_CHILD_EXITED", message: "it exited", exitCode: 1 };

/** One event of each type; requests have the number 2, those that wait the number 1. */
const EVENTS: { readonly [E in Event["type"]]: Extract<Event, { type: E }> } = {
  "ready-called": { type: "ready-called", request: 2 },
  "opened": { type: "opened" },
  "open-failed": { type: "open-failed", failure: FAILURE },
  "names-taken": { type: "names-taken" },
  "names-failed": { type: "names-failed", failure: FAILURE },
  "parent-probation": { type: "parent-probation" },
  "parent-commit": { type: "parent-commit" },
  "parent-abort": { type: "parent-abort", reason: "because" },
  "fail-called": { type: "fail-called", reason: "because" },
  "parent-gone": { type: "parent-gone" },
  "upgrade-requested": {
    type: "upgrade-requested",
    request: 2,
    probation: false,
    sequential: false,
    draining: 0,
    maxDraining: 2,
  },
  "paused": { type: "paused" },
  "pause-failed": { type: "pause-failed", failure: FAILURE },
  "released": { type: "released" },
  "release-failed": { type: "release-failed", failure: FAILURE },
  "reacquired": { type: "reacquired", problem: null },
  "spawned": { type: "spawned" },
  "spawn-failed": { type: "spawn-failed", failure: SPAWN_FAILURE },
  "child-joined": { type: "child-joined" },
  "child-ready": { type: "child-ready" },
  "child-failed": { type: "child-failed", failure: FAILURE },
  "commit-acked": { type: "commit-acked" },
  "child-exited": { type: "child-exited", failure: EXITED },
  "timeout": { type: "timeout" },
  "kill-timeout": { type: "kill-timeout" },
  "probation-over": { type: "probation-over" },
  "stop-called": { type: "stop-called" },
  "drained": { type: "drained" },
};

const starting = (
  phase: Starting["phase"],
  parent: Starting["parent"],
  ready: number | null = 1,
): Starting => ({ name: "starting", phase, parent, ready });

const running = (
  phase: "pausing" | "releasing" | "spawning" | "initialising" | "committing",
  probation = false,
  paused = false,
): Upgrading => ({ name: "upgrading", request: 1, probation, paused, phase }) as Upgrading;

const aborting = (request: 1 | null, killed: boolean, failure = FAILURE): Upgrading => ({
  name: "upgrading",
  request,
  probation: false,
  paused: false,
  phase: "aborting",
  failure,
  accepted: request === null,
  killed,
});

/** After a pause the request is answered when the process serves again. */
const paused = (accepted: boolean, killed: boolean, failure = FAILURE): Upgrading => ({
  ...aborting(null, killed, failure) as Upgrading & { phase: "aborting" },
  request: 1,
  paused: true,
  accepted,
});

const resuming = (failure: Failure): Upgrading => ({
  name: "upgrading",
  request: 1,
  probation: false,
  paused: true,
  phase: "resuming",
  failure,
});

const stopping = (
  child: boolean,
  drained: boolean,
  because: Stopping["because"] = "stopped",
): Stopping => ({ name: "stopping", because, child, drained });

/** Every state in which a process can be, under a name for titles. */
const STATES = {
  "starting, initialising without a parent": starting("initialising", "none", null),
  "starting, initialising": starting("initialising", "alive", null),
  "starting, initialising as an orphan": starting("initialising", "gone", null),
  "starting, opening without a parent": starting("opening", "none"),
  "starting, opening": starting("opening", "alive"),
  "starting, opening as an orphan": starting("opening", "gone"),
  "starting, announced": starting("announced", "alive"),
  "starting, in probation": starting("probation", "alive", null),
  "starting, owning without a parent": starting("owning", "none"),
  "starting, owning": starting("owning", "alive"),
  "starting, owning after probation": starting("owning", "alive", null),
  "starting, owning as an orphan": starting("owning", "gone"),
  "starting, owning as an orphan after probation": starting("owning", "gone", null),
  "serving": { name: "serving" },
  "upgrading, pausing": running("pausing", false, true),
  "upgrading, pausing for probation": running("pausing", true, true),
  "upgrading, releasing": running("releasing", false, true),
  "upgrading, releasing for probation": running("releasing", true, true),
  "upgrading, spawning after a pause": running("spawning", false, true),
  "upgrading, spawning for probation after a pause": running("spawning", true, true),
  "upgrading, initialising after a pause": running("initialising", false, true),
  "upgrading, initialising for probation after a pause": running("initialising", true, true),
  "upgrading, committing after a pause": running("committing", false, true),
  "upgrading, aborting after a pause": paused(false, false),
  "upgrading, aborting after a pause and ready": paused(true, false),
  "upgrading, killed after a pause": paused(false, true),
  "upgrading, killed after a pause and ready": paused(true, true),
  "upgrading, resuming": resuming(FAILURE),
  "probation after a pause": { name: "probation", request: 1, paused: true },
  "upgrading, spawning": running("spawning"),
  "upgrading, spawning for probation": running("spawning", true),
  "upgrading, initialising": running("initialising"),
  "upgrading, initialising for probation": running("initialising", true),
  "upgrading, committing": running("committing"),
  "upgrading, aborting": aborting(1, false),
  "upgrading, aborting after the answer": aborting(null, false),
  "upgrading, killed": aborting(1, true),
  "upgrading, killed after the answer": aborting(null, true),
  "probation": { name: "probation", request: 1, paused: false },
  "draining": { name: "draining" },
  "stopping": stopping(false, false),
  "stopping with a child": stopping(true, false),
  "stopping with a child, drained": stopping(true, true),
  "stopping, called off": stopping(false, false, "aborted"),
  "exited, upgraded": { name: "exited", because: "upgraded" },
  "exited, stopped": { name: "exited", because: "stopped" },
  "exited, called off": { name: "exited", because: "aborted" },
} as const satisfies Record<string, State>;

type StateName = keyof typeof STATES;
type EventName = Event["type"];

const stateNames = Object.keys(STATES) as StateName[];
const eventNames = Object.keys(EVENTS) as EventName[];

/** An effect in a few words. */
function words(effect: Effect): string {
  switch (effect.type) {
    case "send-child":
    case "send-parent":
      return `${effect.type} ${effect.frame}`;
    case "abort-child":
      return `abort-child (${effect.reason})`;
    case "fail-to-parent":
      return `fail-to-parent ${effect.failure.code}`;
    case "kill-child":
      return `kill-child ${effect.signal}`;
    case "start-timer":
      return `start-timer ${effect.timer}${effect.patient === true ? " patiently" : ""}`;
    case "clear-timer":
      return `clear-timer ${effect.timer}`;
    case "resolve":
      return `resolve ${effect.request}`;
    case "reject":
      return `reject ${effect.request} ${effect.failure.code}`;
    case "resolve-exit":
      return `resolve-exit ${effect.reason}`;
    case "emit":
      return `emit ${effect.event}`;
    case "ignore":
      return "ignore";
    default:
      return effect.type;
  }
}

const step = (state: StateName, event: EventName): Step => transition(STATES[state], EVENTS[event]);

// What is done on the way out of `upgrading` and `probation`.
const RECOVER = ["clear-timer upgrade", "clear-timer probation", "clear-timer kill"];
const CALL_OFF = (reason: string) => [
  "clear-timer upgrade",
  "clear-timer probation",
  `abort-child (${reason})`,
  "kill-child SIGTERM",
];
const STOP = ["stop-accepting", "remove-names", "resolve-exit stopped", "emit stopping"];
const INTERRUPT = [
  "clear-timer upgrade",
  "clear-timer probation",
  "abort-child (the parent was stopped)",
  "kill-child SIGTERM",
];
/** A child that has accepted connections is given the time to finish them. */
const interrupted = (from: string): string[] => [
  ...INTERRUPT,
  /committing|^probation/.test(from) ? "start-timer kill patiently" : "start-timer kill",
];
const STOP_ALONE = [
  "clear-timer upgrade",
  "clear-timer probation",
  "release-child",
  "reject 1 ERR_STOPPED",
  "emit upgrade-failed",
  ...STOP,
];
const RESUME = ["start-timer upgrade", "reacquire-resources"];
const RESUMED = [
  "clear-timer upgrade",
  "resume-accepting",
  "reject 1 ERR_CHILD_FAILED",
  "emit upgrade-failed",
  "emit resumed",
];
const NOT_READY = "the child was not ready within upgradeTimeoutMs";
const TOO_LATE: Failure = {
  code: "ERR_UPGRADE_TIMEOUT",
  message:
    `Cannot upgrade: ${NOT_READY} and was ended; call ready() sooner or raise upgradeTimeoutMs`,
};
const NOT_TAKEN: Failure = {
  code: "ERR_UPGRADE_TIMEOUT",
  message: "Cannot upgrade: the child did not take over within upgradeTimeoutMs and was ended",
};
const ROLLED_BACK = (why: string): Failure => ({
  code: "ERR_ROLLED_BACK",
  message: `Cannot keep the child: ${why}; the old process goes on`,
});
const ABANDON = ["stop-accepting", "close-inherited"];
const LEAVE = ["resolve-exit stopped"];

type Row = readonly [
  title: string,
  from: StateName,
  event: EventName,
  to: StateName | State,
  effects: readonly string[],
];

/** All transitions. What is neither here nor in REFUSALS is ignored. */
const TRANSITIONS: readonly Row[] = [
  // The child's way to the top.
  ...(["without a parent", "", "as an orphan"] as const).map((as): Row => [
    `ready() opens the listeners and closes what nobody claimed ${as}`,
    `starting, initialising${as && ` ${as}`}` as StateName,
    "ready-called",
    // The request of the event is the one that waits.
    {
      ...STATES[`starting, opening${as && ` ${as}`}` as "starting, opening"],
      ready: 2,
    },
    ["close-inherited", "start-accepting"],
  ]),
  [
    "a child that has opened its listeners says ready",
    "starting, opening",
    "opened",
    "starting, announced",
    ["send-parent ready"],
  ],
  [
    "without a parent the names follow the listeners",
    "starting, opening without a parent",
    "opened",
    "starting, owning without a parent",
    ["take-names"],
  ],
  [
    "for an orphan the names follow the listeners",
    "starting, opening as an orphan",
    "opened",
    "starting, owning as an orphan",
    ["take-names"],
  ],
  [
    "a child that cannot open a listener says fail and rejects ready()",
    "starting, opening",
    "open-failed",
    "stopping, called off",
    [
      "fail-to-parent ERR_CHILD_FAILED",
      "send-parent ready",
      "reject 1 ERR_CHILD_FAILED",
      ...ABANDON,
      ...LEAVE,
      "emit aborted",
    ],
  ],
  [
    "without a parent ready() may be called again after a listener did not open",
    "starting, opening without a parent",
    "open-failed",
    "starting, initialising without a parent",
    ["reject 1 ERR_CHILD_FAILED"],
  ],
  [
    "an orphan may call ready() again after a listener did not open",
    "starting, opening as an orphan",
    "open-failed",
    "starting, initialising as an orphan",
    ["reject 1 ERR_CHILD_FAILED"],
  ],
  [
    "probation answers ready()",
    "starting, announced",
    "parent-probation",
    "starting, in probation",
    ["resolve 1"],
  ],
  [
    "commit lets the child take the names over",
    "starting, announced",
    "parent-commit",
    "starting, owning",
    ["take-names"],
  ],
  [
    "commit after probation lets the child take the names over",
    "starting, in probation",
    "parent-commit",
    "starting, owning after probation",
    ["take-names"],
  ],
  [
    "a child that has the names says owned and serves",
    "starting, owning",
    "names-taken",
    "serving",
    ["send-parent owned", "resolve 1", "emit ready"],
  ],
  [
    "a child that has the names after probation has answered ready() already",
    "starting, owning after probation",
    "names-taken",
    "serving",
    ["send-parent owned", "emit ready"],
  ],
  [
    "without a parent the process serves once it has the names",
    "starting, owning without a parent",
    "names-taken",
    "serving",
    ["resolve 1", "emit ready"],
  ],
  [
    "an orphan serves once it has the names",
    "starting, owning as an orphan",
    "names-taken",
    "serving",
    ["resolve 1", "emit ready"],
  ],
  [
    "an orphan serves once it has the names, after probation too",
    "starting, owning as an orphan after probation",
    "names-taken",
    "serving",
    ["emit ready"],
  ],
  [
    "a child that cannot take the names leaves, because the parent has them",
    "starting, owning",
    "names-failed",
    "stopping, called off",
    [
      "fail-to-parent ERR_CHILD_FAILED",
      "reject 1 ERR_CHILD_FAILED",
      ...ABANDON,
      ...LEAVE,
      "emit aborted",
    ],
  ],
  [
    "a child that cannot take the names after probation leaves as well",
    "starting, owning after probation",
    "names-failed",
    "stopping, called off",
    ["fail-to-parent ERR_CHILD_FAILED", ...ABANDON, ...LEAVE, "emit aborted"],
  ],
  [
    "without a parent ready() may be called again after the names could not be taken",
    "starting, owning without a parent",
    "names-failed",
    "starting, initialising without a parent",
    ["reject 1 ERR_CHILD_FAILED"],
  ],
  [
    "an orphan serves without the names, because nobody else does",
    "starting, owning as an orphan",
    "names-failed",
    "serving",
    ["resolve 1", "emit ready"],
  ],
  [
    "an orphan serves without the names after probation",
    "starting, owning as an orphan after probation",
    "names-failed",
    "serving",
    ["emit ready"],
  ],

  // The parent calls it off, or dies.
  ...([
    ["starting, initialising", []],
    ["starting, opening", ["send-parent ready", "reject 1 ERR_ABORTED"]],
    ["starting, announced", ["reject 1 ERR_ABORTED"]],
    ["starting, in probation", []],
    ["starting, owning", ["reject 1 ERR_ABORTED"]],
    ["starting, owning after probation", []],
  ] as const).flatMap(([from, answer]): Row[] => [
    [
      `abort ends a child that is ${from}`,
      from,
      "parent-abort",
      "stopping, called off",
      [...answer, ...ABANDON, ...LEAVE, "emit aborted"],
    ],
    [
      `fail() ends a child that is ${from}, and the parent is told`,
      from,
      "fail-called",
      "stopping, called off",
      ["fail-to-parent ERR_CHILD_FAILED", ...answer, ...ABANDON, ...LEAVE, "emit aborted"],
    ],
  ]),
  ...([
    ["starting, initialising without a parent", []],
    ["starting, initialising as an orphan", []],
    ["starting, opening without a parent", ["reject 1 ERR_ABORTED"]],
    ["starting, opening as an orphan", ["reject 1 ERR_ABORTED"]],
    ["starting, owning without a parent", ["reject 1 ERR_ABORTED"]],
    ["starting, owning as an orphan", ["reject 1 ERR_ABORTED"]],
    ["starting, owning as an orphan after probation", []],
  ] as const).map(([from, answer]): Row => [
    `abort out of nowhere ends a process that is ${from}, with its names`,
    from,
    "parent-abort",
    "stopping, called off",
    [...answer, ...ABANDON, "remove-names", ...LEAVE, "emit aborted"],
  ]),
  [
    "abort after owned ends the child: the parent has taken it back",
    "serving",
    "parent-abort",
    "stopping, called off",
    ["ignore", "stop-accepting", ...LEAVE, "emit aborted"],
  ],
  [
    "a parent that dies before ready leaves the child to go on",
    "starting, initialising",
    "parent-gone",
    "starting, initialising as an orphan",
    ["emit parent-gone"],
  ],
  [
    "a parent that dies while listeners are being opened leaves the child to go on",
    "starting, opening",
    "parent-gone",
    "starting, opening as an orphan",
    ["emit parent-gone"],
  ],
  [
    "a parent that dies before commit is committed for by the child",
    "starting, announced",
    "parent-gone",
    "starting, owning as an orphan",
    ["emit parent-gone", "take-names"],
  ],
  [
    "a parent that dies in probation is committed for by the child",
    "starting, in probation",
    "parent-gone",
    "starting, owning as an orphan after probation",
    ["emit parent-gone", "take-names"],
  ],
  [
    "a parent that dies after commit is not waited for",
    "starting, owning",
    "parent-gone",
    "starting, owning as an orphan",
    ["emit parent-gone"],
  ],
  [
    "a parent that dies after commit and probation is not waited for",
    "starting, owning after probation",
    "parent-gone",
    "starting, owning as an orphan after probation",
    ["emit parent-gone"],
  ],
  ...stateNames
    .filter((name) => !/^starting|^exited/.test(name))
    .map((name): Row => [
      `that the parent is gone is told and changes nothing when ${name}`,
      name,
      "parent-gone",
      name,
      ["emit parent-gone"],
    ]),

  // The parent's way to the end.
  [
    "an upgrade begins with its timer and a process",
    "serving",
    "upgrade-requested",
    { ...running("spawning"), request: 2 },
    ["start-timer upgrade", "emit upgrading", "spawn"],
  ],
  [
    "a child that was started may initialise",
    "upgrading, spawning",
    "spawned",
    "upgrading, initialising",
    ["emit spawned"],
  ],
  [
    "a child that was started for probation may initialise",
    "upgrading, spawning for probation",
    "spawned",
    "upgrading, initialising for probation",
    ["emit spawned"],
  ],
  [
    "a ready child is told to take over",
    "upgrading, initialising",
    "child-ready",
    "upgrading, committing",
    ["emit child-ready", "send-child commit", "emit committing"],
  ],
  [
    "a ready child is watched when probation is wanted",
    "upgrading, initialising for probation",
    "child-ready",
    "probation",
    ["clear-timer upgrade", "start-timer probation", "send-child probation", "emit child-ready"],
  ],
  [
    "a child that survived its probation is told to take over, in a new time",
    "probation",
    "probation-over",
    "upgrading, committing",
    [
      "clear-timer probation",
      "start-timer upgrade",
      "send-child commit",
      "emit committing",
    ],
  ],
  [
    "a child that has taken over ends the upgrade",
    "upgrading, committing",
    "commit-acked",
    "draining",
    [
      "clear-timer upgrade",
      "stop-accepting",
      "leave-names",
      "release-child",
      "resolve 1",
      "resolve-exit upgraded",
      "emit upgraded",
    ],
  ],

  // Failures of a child that has accepted nothing.
  ...(["upgrading, spawning", "upgrading, spawning for probation"] as const).map((from): Row => [
    `a process that cannot be started fails the upgrade when ${from}`,
    from,
    "spawn-failed",
    "serving",
    [...RECOVER, "release-child", "reject 1 ERR_SPAWN", "emit upgrade-failed"],
  ]),
  ...([
    "upgrading, spawning",
    "upgrading, spawning for probation",
    "upgrading, initialising",
    "upgrading, initialising for probation",
  ] as const).flatMap((from): Row[] => [
    [
      `a child that exits fails the upgrade when ${from}`,
      from,
      "child-exited",
      "serving",
      [...RECOVER, "release-child", "reject 1 ERR_CHILD_EXITED", "emit upgrade-failed"],
    ],
    [
      `a child that says fail is ended, and the caller waits for its end, when ${from}`,
      from,
      "child-failed",
      "upgrading, aborting",
      [...CALL_OFF("no"), "start-timer kill"],
    ],
    [
      `a child that is too late is ended, and the caller waits for its end, when ${from}`,
      from,
      "timeout",
      aborting(1, false, {
        code: "ERR_UPGRADE_TIMEOUT",
        message:
          `Cannot upgrade: ${NOT_READY} and was ended; call ready() sooner or raise upgradeTimeoutMs`,
      }),
      [
        ...CALL_OFF(
          `Cannot upgrade: ${NOT_READY} and was ended; call ready() sooner or raise upgradeTimeoutMs`,
        ),
        "start-timer kill",
      ],
    ],
  ]),

  // Failures of a child that has accepted: the caller is answered at once, the child may drain.
  [
    "a child that exits after commit gives the names back",
    "upgrading, committing",
    "child-exited",
    "serving",
    [
      ...RECOVER,
      "release-child",
      "reclaim-names",
      "reject 1 ERR_CHILD_EXITED",
      "emit upgrade-failed",
    ],
  ],
  [
    "a child that fails after commit is ended patiently and gives the names back",
    "upgrading, committing",
    "child-failed",
    "upgrading, aborting after the answer",
    [
      ...CALL_OFF("no"),
      "start-timer kill patiently",
      "reclaim-names",
      "reject 1 ERR_CHILD_FAILED",
      "emit upgrade-failed",
    ],
  ],
  [
    "a child that does not take over in time is ended patiently and gives the names back",
    "upgrading, committing",
    "timeout",
    aborting(null, false, {
      code: "ERR_UPGRADE_TIMEOUT",
      message: "Cannot upgrade: the child did not take over within upgradeTimeoutMs and was ended",
    }),
    [
      ...CALL_OFF(
        "Cannot upgrade: the child did not take over within upgradeTimeoutMs and was ended",
      ),
      "start-timer kill patiently",
      "reclaim-names",
      "reject 1 ERR_UPGRADE_TIMEOUT",
      "emit upgrade-failed",
    ],
  ],
  [
    "a child that exits in probation is rolled back",
    "probation",
    "child-exited",
    "serving",
    [...RECOVER, "release-child", "reject 1 ERR_ROLLED_BACK", "emit upgrade-failed"],
  ],
  [
    "a child that fails in probation is rolled back and ended patiently",
    "probation",
    "child-failed",
    aborting(null, false, {
      code: "ERR_ROLLED_BACK",
      message: "Cannot keep the child: no; the old process goes on",
    }),
    [
      ...CALL_OFF("Cannot keep the child: no; the old process goes on"),
      "start-timer kill patiently",
      "reject 1 ERR_ROLLED_BACK",
      "emit upgrade-failed",
    ],
  ],

  [
    "a child that was ready before it could read abort is given the time to finish, and the caller is told",
    "upgrading, aborting",
    "child-ready",
    "upgrading, aborting after the answer",
    ["start-timer kill patiently", "reject 1 ERR_CHILD_FAILED", "emit upgrade-failed"],
  ],
  [
    "a child that was ready before it could read abort is given the time to finish after a pause, too",
    "upgrading, aborting after a pause",
    "child-ready",
    "upgrading, aborting after a pause and ready",
    ["start-timer kill patiently"],
  ],

  // A child that was told to go.
  ...([
    ["upgrading, aborting", "reject 1 ERR_CHILD_FAILED", "upgrading, killed"],
    ["upgrading, aborting after the answer", undefined, "upgrading, killed after the answer"],
    ["upgrading, killed", "reject 1 ERR_CHILD_FAILED", undefined],
    ["upgrading, killed after the answer", undefined, undefined],
  ] as const).flatMap(([from, answer, killed]): Row[] => {
    const recovered = [
      ...RECOVER,
      "release-child",
      // The child may have taken the names between commit and abort.
      ...(answer === undefined ? ["reclaim-names"] : [answer, "emit upgrade-failed"]),
    ];
    return [
      [
        `the upgrade ends with the child's end when ${from}`,
        from,
        "child-exited",
        "serving",
        recovered,
      ],
      [
        `a process that never came to be ends the upgrade when ${from}`,
        from,
        "spawn-failed",
        "serving",
        recovered,
      ],
      [`a process that came to be too late is told to go when ${from}`, from, "spawned", from, [
        "abort-child (no)",
        `kill-child ${killed === undefined ? "SIGKILL" : "SIGTERM"}`,
      ]],
      killed === undefined
        ? [
          `what survives SIGKILL is not waited for when ${from}`,
          from,
          "kill-timeout",
          "serving",
          recovered,
        ]
        : [`a child that does not go is killed when ${from}`, from, "kill-timeout", killed, [
          "kill-child SIGKILL",
          "start-timer kill",
        ]],
    ];
  }),

  // Stop.
  ...([
    ["starting, initialising without a parent", []],
    ["starting, initialising as an orphan", []],
    ["starting, opening without a parent", ["reject 1 ERR_STOPPED"]],
    ["starting, opening as an orphan", ["reject 1 ERR_STOPPED"]],
    ["starting, owning without a parent", ["reject 1 ERR_STOPPED"]],
    ["starting, owning as an orphan", ["reject 1 ERR_STOPPED"]],
    ["starting, owning as an orphan after probation", []],
  ] as const).map(([from, answer]): Row => [
    `stop ends a process that is ${from}, with its names`,
    from,
    "stop-called",
    "stopping",
    [...answer, ...ABANDON, "remove-names", ...LEAVE, "emit stopping"],
  ]),
  ...([
    ["starting, initialising", []],
    ["starting, opening", ["send-parent ready", "reject 1 ERR_STOPPED"]],
    ["starting, announced", ["reject 1 ERR_STOPPED"]],
    ["starting, in probation", []],
    ["starting, owning", ["reject 1 ERR_STOPPED"]],
    ["starting, owning after probation", []],
  ] as const).map(([from, answer]): Row => [
    `stop ends a child that is ${from}, and the parent is told`,
    from,
    "stop-called",
    "stopping",
    ["fail-to-parent ERR_STOPPED", ...answer, ...ABANDON, ...LEAVE, "emit stopping"],
  ]),
  ["stop ends the owner", "serving", "stop-called", "stopping", STOP],
  ...([
    "upgrading, spawning",
    "upgrading, spawning for probation",
    "upgrading, initialising",
    "upgrading, initialising for probation",
    "upgrading, committing",
    "probation",
  ] as const).map((from): Row => [
    `stop interrupts the upgrade when ${from}`,
    from,
    "stop-called",
    "stopping with a child",
    [...interrupted(from), "reject 1 ERR_STOPPED", "emit upgrade-failed", ...STOP],
  ]),
  ...([
    ["upgrading, aborting", ["reject 1 ERR_STOPPED", "emit upgrade-failed"]],
    ["upgrading, killed", ["reject 1 ERR_STOPPED", "emit upgrade-failed"]],
    ["upgrading, aborting after the answer", []],
    ["upgrading, killed after the answer", []],
  ] as const).map(([from, answer]): Row => [
    `stop leaves the child's last time as it is when ${from}`,
    from,
    "stop-called",
    "stopping with a child",
    ["clear-timer upgrade", "clear-timer probation", ...answer, ...STOP],
  ]),

  // Sequential upgrades.
  ...(["", " for probation"] as const).flatMap((how): Row[] => [
    [
      `a process that is paused lets go of its resources, in a new time,${how}`,
      `upgrading, pausing${how}`,
      "paused",
      `upgrading, releasing${how}`,
      ["clear-timer pause", "start-timer upgrade", "emit paused", "release-resources"],
    ],
    [
      `a process that cannot be paused goes on${how}`,
      `upgrading, pausing${how}`,
      "pause-failed",
      resuming(FAILURE),
      ["clear-timer pause", "release-child", ...RESUME],
    ],
    [
      `a process that is paused too late goes on${how}`,
      `upgrading, pausing${how}`,
      "timeout",
      resuming({
        code: "ERR_UPGRADE_TIMEOUT",
        message:
          "Cannot upgrade: the process could not be paused within drainTimeoutMs and upgradeTimeoutMs together",
      }),
      ["clear-timer pause", "release-child", ...RESUME],
    ],
    [
      `the child is started once everything is released, in a new time,${how}`,
      `upgrading, releasing${how}`,
      "released",
      `upgrading, spawning${how} after a pause`,
      ["start-timer upgrade", "emit released", "spawn"],
    ],
    [
      `what cannot be released is taken back${how}`,
      `upgrading, releasing${how}`,
      "release-failed",
      resuming(FAILURE),
      ["release-child", ...RESUME],
    ],
    [
      `what is released too late is taken back${how}`,
      `upgrading, releasing${how}`,
      "timeout",
      resuming({
        code: "ERR_UPGRADE_TIMEOUT",
        message:
          "Cannot upgrade: the resources were not released within upgradeTimeoutMs; release them sooner or raise upgradeTimeoutMs",
      }),
      ["release-child", ...RESUME],
    ],
    [
      `a child that was started after a pause may initialise${how}`,
      `upgrading, spawning${how} after a pause`,
      "spawned",
      `upgrading, initialising${how} after a pause`,
      ["emit spawned"],
    ],
    [
      `what was released is taken back when no process can be started${how}`,
      `upgrading, spawning${how} after a pause`,
      "spawn-failed",
      resuming(SPAWN_FAILURE),
      [...RECOVER, "release-child", ...RESUME],
    ],
    ...(["spawning", "initialising"] as const).flatMap((phase): Row[] => [
      [
        `what was released is taken back when the child exits while ${phase}${how}`,
        `upgrading, ${phase}${how} after a pause`,
        "child-exited",
        resuming(EXITED),
        [...RECOVER, "release-child", ...RESUME],
      ],
      [
        `a child that says fail after a pause is ended first, while ${phase}${how}`,
        `upgrading, ${phase}${how} after a pause`,
        "child-failed",
        "upgrading, aborting after a pause",
        [...CALL_OFF("no"), "start-timer kill"],
      ],
      [
        `a child that is too late after a pause is ended first, while ${phase}${how}`,
        `upgrading, ${phase}${how} after a pause`,
        "timeout",
        paused(false, false, TOO_LATE),
        [...CALL_OFF(TOO_LATE.message), "start-timer kill"],
      ],
    ]),
    [
      `stop ends a process that is pausing${how}`,
      `upgrading, pausing${how}`,
      "stop-called",
      "stopping",
      [
        "clear-timer pause",
        ...RECOVER.slice(0, 2),
        "release-child",
        "reject 1 ERR_STOPPED",
        "emit upgrade-failed",
        ...STOP,
      ],
    ],
    [
      `stop ends a process that is releasing${how}`,
      `upgrading, releasing${how}`,
      "stop-called",
      "stopping",
      STOP_ALONE,
    ],
  ]),
  [
    "stop ends a process that is resuming, and has let go of its child already",
    "upgrading, resuming",
    "stop-called",
    "stopping",
    STOP_ALONE.filter((effect) => effect !== "release-child"),
  ],
  [
    "a ready child is told to take over after a pause",
    "upgrading, initialising after a pause",
    "child-ready",
    "upgrading, committing after a pause",
    ["emit child-ready", "send-child commit", "emit committing"],
  ],
  [
    "a ready child is watched after a pause when probation is wanted",
    "upgrading, initialising for probation after a pause",
    "child-ready",
    "probation after a pause",
    ["clear-timer upgrade", "start-timer probation", "send-child probation", "emit child-ready"],
  ],
  [
    "a child that survived its probation after a pause is told to take over",
    "probation after a pause",
    "probation-over",
    "upgrading, committing after a pause",
    ["clear-timer probation", "start-timer upgrade", "send-child commit", "emit committing"],
  ],
  [
    "a child that has taken over ends the sequential upgrade",
    "upgrading, committing after a pause",
    "commit-acked",
    "draining",
    [
      "clear-timer upgrade",
      "stop-accepting",
      "leave-names",
      "release-child",
      "resolve 1",
      "resolve-exit upgraded",
      "emit upgraded",
    ],
  ],
  [
    "a child that exits after a pause and commit gives everything back",
    "upgrading, committing after a pause",
    "child-exited",
    resuming(EXITED),
    [...RECOVER, "release-child", "reclaim-names", ...RESUME],
  ],
  [
    "a child that fails after a pause and commit is waited for, and then everything is taken back",
    "upgrading, committing after a pause",
    "child-failed",
    "upgrading, aborting after a pause and ready",
    [...CALL_OFF("no"), "start-timer kill patiently", "reclaim-names"],
  ],
  [
    "a child that does not take over in time after a pause is waited for",
    "upgrading, committing after a pause",
    "timeout",
    paused(true, false, NOT_TAKEN),
    [...CALL_OFF(NOT_TAKEN.message), "start-timer kill patiently", "reclaim-names"],
  ],
  [
    "a child that exits in probation after a pause is rolled back",
    "probation after a pause",
    "child-exited",
    resuming({ ...EXITED, ...ROLLED_BACK("it exited") }),
    [...RECOVER, "release-child", ...RESUME],
  ],
  [
    "a child that fails in probation after a pause is waited for",
    "probation after a pause",
    "child-failed",
    paused(true, false, ROLLED_BACK("no")),
    [...CALL_OFF(ROLLED_BACK("no").message), "start-timer kill patiently"],
  ],
  ...(["", " and ready"] as const).flatMap((how): Row[] => {
    const recovered = [
      ...RECOVER,
      "release-child",
      ...(how === "" ? [] : ["reclaim-names"]),
      ...RESUME,
    ];
    const from = `upgrading, aborting after a pause${how}` as const;
    const killed = `upgrading, killed after a pause${how}` as const;
    return [from, killed].flatMap((state): Row[] => [
      [
        `nothing is taken back before the child's end when ${state}`,
        state,
        "child-exited",
        resuming(FAILURE),
        recovered,
      ],
      [
        `a process that never came to be holds nothing when ${state}`,
        state,
        "spawn-failed",
        resuming(FAILURE),
        recovered,
      ],
      [`a process that came to be too late is told to go when ${state}`, state, "spawned", state, [
        "abort-child (no)",
        `kill-child ${state === killed ? "SIGKILL" : "SIGTERM"}`,
      ]],
      state === killed
        ? [
          `what survives SIGKILL is not waited for when ${state}`,
          state,
          "kill-timeout",
          resuming(FAILURE),
          recovered,
        ]
        : [`a child that does not go is killed when ${state}`, state, "kill-timeout", killed, [
          "kill-child SIGKILL",
          "start-timer kill",
        ]],
      [
        `stop leaves the child's last time as it is when ${state}`,
        state,
        "stop-called",
        "stopping with a child",
        [
          "clear-timer upgrade",
          "clear-timer probation",
          "reject 1 ERR_STOPPED",
          "emit upgrade-failed",
          ...STOP,
        ],
      ],
    ]);
  }),
  ...([
    "upgrading, spawning after a pause",
    "upgrading, spawning for probation after a pause",
    "upgrading, initialising after a pause",
    "upgrading, initialising for probation after a pause",
    "upgrading, committing after a pause",
    "probation after a pause",
  ] as const).map((from): Row => [
    `stop interrupts the upgrade when ${from}`,
    from,
    "stop-called",
    "stopping with a child",
    [...interrupted(from), "reject 1 ERR_STOPPED", "emit upgrade-failed", ...STOP],
  ]),
  [
    "a process that has everything back accepts again, and then the caller is told",
    "upgrading, resuming",
    "reacquired",
    "serving",
    RESUMED,
  ],
  [
    "a process that cannot have everything back in time accepts again",
    "upgrading, resuming",
    "timeout",
    "serving",
    RESUMED,
  ],
  ...([
    "upgrading, initialising",
    "upgrading, initialising for probation",
    "upgrading, initialising after a pause",
    "upgrading, initialising for probation after a pause",
  ] as const).map((from): Row => [
    `that a child has joined is told when ${from}`,
    from,
    "child-joined",
    from,
    ["emit child-joined"],
  ]),

  // Leaving.
  ["a replaced process that is drained is done", "draining", "drained", "exited, upgraded", [
    "emit drained",
    "dispose",
  ]],
  ["a stopped process that is drained is done", "stopping", "drained", "exited, stopped", [
    "emit drained",
    "dispose",
  ]],
  [
    "a process that was called off and is drained is done",
    "stopping, called off",
    "drained",
    "exited, called off",
    ["emit drained", "dispose"],
  ],
  [
    "a stopped process waits for its child",
    "stopping with a child",
    "drained",
    "stopping with a child, drained",
    ["emit drained"],
  ],
  ...([
    ["stopping with a child", "stopping", []],
    ["stopping with a child, drained", "exited, stopped", ["dispose"]],
  ] as const).flatMap(([from, to, last]): Row[] => [
    [`the child's end is the last wait when ${from}`, from, "child-exited", to, [
      "clear-timer kill",
      "remove-names",
      "release-child",
      ...last,
    ]],
    [`a child that never came to be is not waited for when ${from}`, from, "spawn-failed", to, [
      "clear-timer kill",
      ...last,
    ]],
    [`a child that does not go is killed when ${from}`, from, "kill-timeout", to, [
      "kill-child SIGKILL",
      "remove-names",
      "release-child",
      ...last,
    ]],
    [`a child that came to be too late is told to go when ${from}`, from, "spawned", from, [
      "abort-child (the parent was stopped)",
      "kill-child SIGTERM",
    ]],
  ]),
  ...([
    "stopping",
    "stopping with a child",
    "stopping with a child, drained",
    "stopping, called off",
  ] as const).map((
    from,
  ): Row => [
    `listeners that open too late are closed when ${from}`,
    from,
    "opened",
    from,
    ["stop-accepting"],
  ]),
  [
    "a drained process has nothing left to wait for",
    "stopping with a child, drained",
    "drained",
    "stopping with a child, drained",
    ["emit drained"],
  ],
  ...(["stopping", "stopping, called off"] as const).flatMap((from): Row[] => [
    [`a child that is not there cannot end when ${from}`, from, "child-exited", from, [
      "clear-timer kill",
      "release-child",
    ]],
    [`a child that is not there cannot fail to start when ${from}`, from, "spawn-failed", from, [
      "clear-timer kill",
    ]],
  ]),
];

/** Which request is refused in which states, and with which code. */
const REFUSALS: readonly (readonly [EventName, string, RegExp])[] = [
  ["ready-called", "ERR_NOT_READY", /^starting, (?!initialising)|^serving|^upgrading|^probation/],
  ["ready-called", "ERR_ALREADY_UPGRADED", /^draining/],
  ["ready-called", "ERR_STOPPED", /^stopping(?!, called off)|^exited/],
  ["ready-called", "ERR_ABORTED", /^stopping, called off/],
  ["upgrade-requested", "ERR_NOT_READY", /^starting/],
  ["upgrade-requested", "ERR_UPGRADE_IN_PROGRESS", /^upgrading|^probation/],
  ["upgrade-requested", "ERR_ALREADY_UPGRADED", /^draining|^exited, upgraded/],
  ["upgrade-requested", "ERR_STOPPED", /^stopping|^exited, (?!upgraded)/],
];

describe("a transition", () => {
  for (const [title, from, event, to, effects] of TRANSITIONS) {
    test(title.trim(), () => {
      const [state, done] = step(from, event);
      assert.deepEqual(state, typeof to === "string" ? STATES[to] : to);
      assert.deepEqual(done.map(words), effects);
    });
  }

  test("titles are unique", () => {
    assert.equal(new Set(TRANSITIONS.map(([title]) => title)).size, TRANSITIONS.length);
  });
});

describe("a request out of turn", () => {
  for (const [event, code, states] of REFUSALS) {
    test(`${event} is refused with ${code} in ${states.source}`, () => {
      const names = stateNames.filter((name) => states.test(name));
      assert.notDeepEqual(names, []);
      for (const name of names) {
        const [state, effects] = step(name, event);
        assert.equal(state, STATES[name]);
        assert.deepEqual(effects.map(words), [`reject 2 ${code}`], name);
      }
    });
  }

  test("upgrade is refused with ERR_TOO_MANY_GENERATIONS above maxDraining, not at it", () => {
    const ask = (draining: number) =>
      transition(STATES.serving, { ...EVENTS["upgrade-requested"], draining });
    assert.equal(ask(2)[0].name, "upgrading");
    const [state, [effect, ...more]] = ask(3);
    assert.equal(state, STATES.serving);
    assert.deepEqual(more, []);
    assert.ok(effect?.type === "reject");
    assert.equal(effect.failure.code, "ERR_TOO_MANY_GENERATIONS");
    assert.match(effect.failure.message, /3 older generations .*maxDraining \(2\)/);
  });

  test("a sequential upgrade begins with a pause and its own time", () => {
    for (const probation of [false, true]) {
      const [state, effects] = transition(STATES.serving, {
        ...EVENTS["upgrade-requested"],
        probation,
        sequential: true,
      });
      const name = `upgrading, pausing${probation ? " for probation" : ""}` as const;
      assert.deepEqual(state, { ...STATES[name], request: 2 });
      assert.deepEqual(effects.map(words), [
        "start-timer pause",
        "emit upgrading",
        "pause-accepting",
      ]);
    }
  });

  test("what could not be taken back is told together with why the upgrade failed", () => {
    const [, effects] = transition(STATES["upgrading, resuming"], {
      type: "reacquired",
      problem: "the lock is held",
    });
    const rejected = effects.find((effect) => effect.type === "reject");
    assert.equal(rejected?.failure.message, "no; afterwards the lock is held");
  });

  test("an upgrade after a failed one that is not over says what is going on", () => {
    for (
      const [name, words] of [
        ["upgrading, aborting after the answer", /its child is still finishing.* try again when/],
        ["upgrading, resuming", /what was released is being taken back; try again/],
        ["upgrading, pausing", /lets the open connections finish; wait/],
      ] as const
    ) {
      const [effect] = step(name, "upgrade-requested")[1];
      assert.ok(effect?.type === "reject");
      assert.match(effect.failure.message, words);
    }
  });

  test("an upgrade with probation remembers it", () => {
    const [state] = transition(STATES.serving, {
      ...EVENTS["upgrade-requested"],
      probation: true,
    });
    assert.deepEqual(state, { ...STATES["upgrading, spawning for probation"], request: 2 });
  });
});

test("every state answers every event: with a transition, a refusal, or a reason to ignore it", () => {
  const known = new Set(TRANSITIONS.map(([, from, event]) => `${from} / ${event}`));
  let ignored = 0;
  for (const state of stateNames) {
    for (const event of eventNames) {
      if (known.delete(`${state} / ${event}`)) continue;
      if (REFUSALS.some(([type, , states]) => type === event && states.test(state))) continue;
      const [next, effects] = step(state, event);
      const pair = `${event} when ${state}`;
      assert.equal(next, STATES[state], pair);
      assert.equal(effects.length, 1, pair);
      assert.ok(effects[0]?.type === "ignore" && effects[0].because.length > 10, pair);
      ignored += 1;
    }
  }
  assert.deepEqual([...known], []);
  assert.ok(ignored > 0);
});

test("every refusal and failure is a sentence that says what could not be done", () => {
  for (const state of stateNames) {
    for (const event of eventNames) {
      for (const effect of step(state, event)[1]) {
        if (effect.type !== "reject" || effect.failure.message.startsWith("no")) continue;
        if (effect.failure === EXITED || effect.failure === SPAWN_FAILURE) continue;
        assert.match(effect.failure.message, /^Cannot [a-z ]+: /);
        assert.doesNotMatch(effect.failure.message, /\.$/);
      }
    }
  }
});

test("a roll-back says why in one sentence", () => {
  const failure: Failure = { ...FAILURE, message: "Cannot upgrade: the child failed: no index" };
  const [, effects] = transition(STATES.probation, { type: "child-failed", failure });
  const rejected = effects.find((effect) => effect.type === "reject");
  assert.equal(
    rejected?.failure.message,
    "Cannot keep the child: the child failed: no index; the old process goes on",
  );
});

test("a failure keeps what is known of the child", () => {
  const [, effects] = step("probation", "child-exited");
  const rejected = effects.find((effect) => effect.type === "reject");
  assert.equal(rejected?.failure.exitCode, 1);
});

// From here on: what holds for any order of events.

/** A process with the world around it: what has been asked, started and told so far. */
interface World {
  readonly state: State;
  readonly waiting: readonly number[];
  readonly timers: readonly string[];
  readonly accepting: "not yet" | "yes" | "paused" | "stopped";
  /** Answers that effects have asked for and that are still to come. */
  readonly opening: boolean;
  readonly naming: boolean;
  /** What a sequential upgrade waits for. */
  readonly step: string | null;
  readonly exit: string | null;
  readonly disposed: boolean;
}

function begin(hasParent: boolean): World {
  return {
    state: initialState(hasParent),
    waiting: [],
    timers: [],
    accepting: "not yet",
    opening: false,
    naming: false,
    step: null,
    exit: null,
    disposed: false,
  };
}

const EXPIRIES: Readonly<Record<string, readonly string[]>> = {
  "timeout": ["upgrade", "pause"],
  "kill-timeout": ["kill"],
};

/** The steps of a sequential upgrade, and how they end. */
const STEPS: Readonly<Record<string, readonly string[]>> = {
  "pause-accepting": ["paused", "pause-failed"],
  "release-resources": ["released", "release-failed"],
  "reacquire-resources": ["reacquired"],
};
const ENDS = Object.values(STEPS).flat();

/** Whether an event can happen now: timers expire only when they run, answers follow questions. */
function isPossible(world: World, { type }: Event): boolean {
  const timer = EXPIRIES[type];
  if (timer !== undefined) return timer.some((name) => world.timers.includes(name));
  if (ENDS.includes(type)) return STEPS[world.step ?? ""]?.includes(type) ?? false;
  if (type === "opened" || type === "open-failed") return world.opening;
  if (type === "names-taken" || type === "names-failed") return world.naming;
  // Its timer, or a call of confirm().
  return true;
}

/** Takes a step and holds what must hold afterwards. */
function advance(world: World, event: Event): World {
  const waiting = new Set(world.waiting);
  const timers = new Set(world.timers);
  let { accepting, opening, naming, step, exit, disposed } = world;
  if ("request" in event) {
    assert.ok(!waiting.has(event.request));
    waiting.add(event.request);
  }
  for (const timer of EXPIRIES[event.type] ?? []) timers.delete(timer);
  if (ENDS.includes(event.type)) step = null;
  if (event.type === "probation-over") timers.delete("probation");
  if (event.type === "opened" || event.type === "open-failed") opening = false;
  if (event.type === "names-taken" || event.type === "names-failed") naming = false;

  const [state, effects] = transition(world.state, event);
  for (const effect of effects) {
    const isWord = effect.type === "ignore" || effect.type === "reject";
    assert.ok(!disposed || isWord, "nothing is done after dispose");
    switch (effect.type) {
      case "resolve":
      case "reject":
        assert.ok(waiting.delete(effect.request), "a request is answered once");
        break;
      case "start-timer":
        timers.add(effect.timer);
        break;
      case "clear-timer":
        timers.delete(effect.timer);
        break;
      case "start-accepting":
        assert.notEqual(accepting, "stopped", "nothing is accepted after stop-accepting");
        accepting = "yes";
        opening = true;
        break;
      case "stop-accepting":
        accepting = "stopped";
        break;
      case "pause-accepting":
        assert.equal(accepting, "yes");
        accepting = "paused";
        step = effect.type;
        break;
      case "release-resources":
      case "reacquire-resources":
        assert.equal(accepting, "paused", "nobody is served while nothing is held");
        step = effect.type;
        break;
      case "resume-accepting":
        assert.equal(accepting, "paused");
        accepting = "yes";
        step = null;
        break;
      case "spawn":
        assert.equal(step, null, "no child before everything is released");
        break;
      case "take-names":
        assert.notEqual(accepting, "stopped", "names are not taken when nothing is accepted");
        naming = true;
        break;
      case "resolve-exit":
        assert.equal(exit, null, "exit is resolved once");
        assert.equal(accepting, "stopped", "nothing is accepted any more when exit resolves");
        exit = effect.reason;
        break;
      case "dispose":
        disposed = true;
        break;
    }
  }

  const held = "request" in state ? state.request : "ready" in state ? state.ready : null;
  assert.deepEqual([...waiting], held === null ? [] : [held], "who waits is known to the state");
  const leaving = ["draining", "stopping", "exited"].includes(state.name);
  assert.equal(exit !== null, leaving, "exit resolves when the process leaves, and only then");
  assert.equal(accepting === "stopped", leaving, "it accepts until it leaves");
  const isPaused = "paused" in state && state.paused;
  assert.equal(accepting === "paused", isPaused, "and in a sequential upgrade until it pauses");
  assert.equal(disposed, state.name === "exited");

  // Something always ends a wait.
  const needed = state.name === "probation"
    ? "probation"
    : state.name === "upgrading"
    ? state.phase === "aborting" ? "kill" : state.phase === "pausing" ? "pause" : "upgrade"
    : state.name === "stopping" && state.child
    ? "kill"
    : undefined;
  assert.deepEqual([...timers], needed === undefined ? [] : [needed]);
  return {
    state,
    waiting: [...waiting],
    timers: [...timers],
    accepting,
    opening,
    naming,
    step: leaving ? null : step,
    exit,
    disposed,
  };
}

test("in any order of events: each request is answered once, each timer ends, accepting stops for good", () => {
  const kinds = fc.array(fc.constantFrom(...eventNames), { maxLength: 60 });
  fc.assert(
    fc.property(fc.nat(7), kinds, (bits, names) => {
      const [hasParent, probation, sequential] = [1, 2, 4].map((bit) => (bits & bit) > 0) as [
        boolean,
        boolean,
        boolean,
      ];
      let world = begin(hasParent);
      let request = 0;
      for (const name of names) {
        let event: Event = EVENTS[name];
        if (event.type === "ready-called") event = { ...event, request: ++request };
        if (event.type === "upgrade-requested") {
          event = { ...event, request: ++request, probation, sequential };
        }
        if (isPossible(world, event)) world = advance(world, event);
      }
    }),
    { numRuns: 2000, seed: 20261122 },
  );
});

test("in every reachable state, found by walking all events from both beginnings", () => {
  const seen = new Set<string>();
  const reached = new Set<string>();
  const todo = [begin(false), begin(true)];
  for (let world = todo.pop(); world !== undefined; world = todo.pop()) {
    const key = JSON.stringify(world);
    if (seen.has(key)) continue;
    seen.add(key);
    reached.add(shape(world.state));
    for (const name of eventNames) {
      const variants: Event[] = [EVENTS[name]];
      if (name === "upgrade-requested") {
        variants.push(
          { ...EVENTS[name], probation: true },
          { ...EVENTS[name], sequential: true },
          { ...EVENTS[name], probation: true, sequential: true },
          { ...EVENTS[name], draining: 9 },
        );
      }
      for (const event of variants) {
        // Number 1 waits at most once, so a second request is number 2, which is always answered at once.
        const numbered = "request" in event
          ? { ...event, request: world.waiting.includes(1) ? 2 : 1 }
          : event;
        if (isPossible(world, numbered)) todo.push(advance(world, numbered));
      }
    }
  }
  // And the states of the table above are exactly those that can be reached.
  assert.deepEqual([...reached].sort(), Object.values(STATES).map(shape).sort());
});

/** A state without the words of its failure. */
function shape(state: State): string {
  const { failure: _words, ...rest } = { failure: undefined, ...state };
  return JSON.stringify(Object.entries(rest).sort());
}
