/**
 * A channel that is not understood, and a world in which something is missing.
 *
 * @module
 */

import type { Row } from "./row.ts";

const channel: readonly Row[] = [
  {
    title: "the child says garbage instead of ready",
    fault: { who: "child", at: "writes ready", act: "says garbage" },
    told: ["ERR_PROTOCOL"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child says garbage instead of owned",
    fault: { who: "child", at: "writes owned", act: "says garbage" },
    told: ["ERR_PROTOCOL"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child says a frame that is too long",
    fault: { who: "child", at: "has joined", act: "says a huge frame" },
    told: ["ERR_PROTOCOL"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child is killed in the middle of a frame",
    fault: { who: "child", at: "has joined", act: "says half a frame and is killed" },
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the child stops talking in the middle of a frame",
    fault: { who: "child", at: "has joined", act: "says half a frame and no more" },
    steps: ["struck", "serves", "deadline", "told"],
    told: ["ERR_UPGRADE_TIMEOUT"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the parent says garbage instead of hello",
    fault: { who: "parent", at: "writes hello", act: "says garbage" },
    told: ["ERR_CHILD_FAILED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the parent says garbage instead of commit",
    fault: { who: "parent", at: "writes commit", act: "says garbage" },
    told: ["ERR_CHILD_FAILED"],
    owner: "parent",
    lost: "none",
  },
];

const world: readonly Row[] = [
  {
    title: "the program does not exist (ENOENT)",
    trouble: "no such program",
    told: ["ERR_SPAWN"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the program may not be executed (EACCES)",
    trouble: "a program that may not be executed",
    told: ["ERR_SPAWN"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "no descriptor is left for the channel (EMFILE)",
    trouble: "no descriptor left",
    told: ["ERR_SPAWN"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "there is no memory for the child",
    trouble: "no memory",
    told: ["ERR_CHILD_EXITED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the folder of the PID file is gone",
    trouble: "PID file's folder gone",
    told: ["ERR_CHILD_FAILED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the folder of the PID file goes before commit",
    fault: { who: "child", at: "writes ready", act: "loses its PID file's folder" },
    told: ["ERR_CHILD_FAILED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the folder of the PID file is read-only",
    trouble: "PID file's folder read-only",
    told: ["ERR_CHILD_FAILED"],
    owner: "parent",
    lost: "none",
  },
  {
    title: "the disk is full",
    trouble: "disk full",
    told: ["ERR_CHILD_FAILED"],
    owner: "parent",
    lost: "none",
  },
];

/** A channel that is not understood, and what the machine lacks. */
export const troubles: readonly Row[] = [...channel, ...world];
