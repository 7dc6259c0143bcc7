/**
 * Processes that live and do nothing: stopped past the deadline, or with an event loop that does not turn.
 *
 * @module
 */

import type { Row } from "./row.ts";

const child: readonly Row[] = [
  {
    title: "the child is stopped past the deadline before it has read hello",
    fault: { who: "child", at: "starts", act: "is stopped" },
    steps: ["struck", "serves", "deadline", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child is stopped past the deadline before it is ready",
    fault: { who: "child", at: "has joined", act: "is stopped" },
    steps: ["struck", "serves", "deadline", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child is stopped past the deadline between ready and commit",
    fault: { who: "child", at: "reads commit", act: "is stopped" },
    steps: ["struck", "serves", "deadline", "told", "serves", "patience is over"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "inside",
  },
  {
    title: "the child is stopped in its probation and past the deadline",
    fault: { who: "child", at: "reads probation", act: "is stopped" },
    probation: true,
    steps: [
      "struck",
      "serves",
      "probation is over",
      "deadline",
      "told",
      "serves",
      "patience is over",
    ],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "inside",
  },
  {
    title: "the child is stopped past the deadline with the names in its hands, and goes on",
    fault: { who: "child", at: "writes owned", act: "is stopped" },
    steps: ["struck", "serves", "deadline", "told", "serves", "continue"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child's event loop is blocked past the deadline before it is ready",
    fault: { who: "child", at: "has joined", act: "blocks for good" },
    steps: ["struck", "serves", "deadline", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child's event loop is blocked past the deadline between ready and commit",
    fault: { who: "child", at: "reads commit", act: "blocks" },
    steps: ["struck", "serves", "deadline", "told", "serves", "continue"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
];

const parent: readonly Row[] = [
  {
    title: "the parent is stopped before the child is ready, and goes on in time",
    fault: { who: "parent", at: "reads x-joined", act: "is stopped" },
    steps: ["struck", "child serves", "continue", "told"],
    told: ["upgraded"],
    owner: "child",
    lost: "none",
  },
  {
    title: "the parent is stopped past the deadline before the child is ready",
    fault: { who: "parent", at: "reads x-joined", act: "is stopped", late: true },
    steps: ["struck", "child serves", "continue", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the parent is stopped past the deadline between ready and commit",
    fault: { who: "parent", at: "reads ready", act: "is stopped", late: true },
    steps: ["struck", "child serves", "continue", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the parent is stopped past the deadline when the child has the names",
    fault: { who: "parent", at: "reads owned", act: "is stopped", late: true },
    steps: ["struck", "child serves", "continue", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the parent is stopped and killed between ready and commit",
    fault: { who: "parent", at: "reads ready", act: "is stopped" },
    steps: ["struck", "child serves", "kill"],
    told: [],
    owner: "child",
    lost: "inside",
  },
  {
    title: "the parent's event loop is blocked between ready and commit, and turns again in time",
    fault: { who: "parent", at: "reads ready", act: "blocks" },
    steps: ["struck", "child serves", "continue", "told"],
    told: ["upgraded"],
    owner: "child",
    lost: "none",
  },
  {
    title: "the parent's event loop is blocked past the deadline before the child is ready",
    fault: { who: "parent", at: "reads x-joined", act: "blocks", late: true },
    steps: ["struck", "child serves", "continue", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
];

/** Processes that are stopped, or whose event loop is blocked. */
export const stopped: readonly Row[] = [...child, ...parent];
