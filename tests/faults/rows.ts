/**
 * The table of deaths: who dies when, who serves then, and what the caller is told.
 *
 * @module
 */

import type { Row } from "./row.ts";

const killedChild: readonly Row[] = [
  {
    title: "the child is killed before it has read hello",
    fault: { who: "child", at: "starts", act: "is killed" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child is killed before it is ready",
    fault: { who: "child", at: "has joined", act: "is killed" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child is killed when it accepts and has not said so",
    fault: { who: "child", at: "writes ready", act: "is killed" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "inside",
  },
  {
    title: "the child is killed between ready and commit",
    fault: { who: "child", at: "reads commit", act: "is killed" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "inside",
  },
  {
    title: "the child is killed in its probation",
    fault: { who: "child", at: "reads probation", act: "is killed" },
    probation: true,
    told: ["ERR_ROLLED_BACK"],
    owner: "parent",
    lost: "inside",
  },
  {
    title: "the child is killed after commit, with the names in its hands",
    fault: { who: "child", at: "writes owned", act: "is killed" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "inside",
  },
];

const killedParent: readonly Row[] = [
  {
    title: "the parent is killed before it has said hello",
    fault: { who: "parent", at: "writes hello", act: "is killed" },
    told: [],
    owner: "child",
    lost: "queue",
  },
  {
    title: "the parent is killed before the child is ready",
    fault: { who: "parent", at: "reads x-joined", act: "is killed" },
    told: [],
    owner: "child",
    lost: "inside",
  },
  {
    title: "the parent is killed between ready and commit",
    fault: { who: "parent", at: "reads ready", act: "is killed" },
    told: [],
    owner: "child",
    lost: "inside",
  },
  {
    title: "the parent is killed in the child's probation",
    fault: { who: "parent", at: "reads x-probation", act: "is killed" },
    probation: true,
    told: [],
    owner: "child",
    lost: "inside",
  },
  {
    title: "the parent is killed after commit, before it lets go",
    fault: { who: "parent", at: "reads owned", act: "is killed" },
    told: [],
    owner: "child",
    lost: "inside",
  },
];

const calls: readonly Row[] = [
  {
    title: "the child exits before it is ready",
    fault: { who: "child", at: "has joined", act: "exits" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "two upgrades are asked for at once",
    fault: { who: "child", at: "has joined", act: "blocks" },
    steps: ["struck", "asks again", "told", "continue", "told"],
    told: ["ERR_UPGRADE_IN_PROGRESS", "upgraded"],
    owner: "child",
    lost: "none",
  },
  {
    title: "the parent is told to stop while the child initialises",
    fault: { who: "child", at: "has joined", act: "blocks for good" },
    steps: ["struck", "serves", "load ends", "stop", "told"],
    told: ["ERR_STOPPED"],
    owner: "nobody",
    lost: "queue",
  },
  {
    title: "the parent is told to stop between ready and commit",
    fault: { who: "child", at: "reads commit", act: "blocks" },
    steps: ["struck", "serves", "load ends", "stop", "told", "continue"],
    told: ["ERR_STOPPED"],
    owner: "nobody",
    lost: "queue",
  },
  {
    title: "the parent is told to stop in the child's probation",
    fault: { who: "child", at: "reads probation", act: "blocks" },
    probation: true,
    steps: ["struck", "serves", "load ends", "stop", "told", "continue"],
    told: ["ERR_STOPPED"],
    owner: "nobody",
    lost: "queue",
  },
  {
    title: "nothing goes wrong",
    told: ["upgraded"],
    owner: "child",
    lost: "none",
  },
];

/** Processes that die or are told to go. */
export const deaths: readonly Row[] = [...killedChild, ...killedParent, ...calls];
