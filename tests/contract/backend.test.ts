import { channelClauses } from "./channel.ts";
import { descriptorClauses } from "./descriptors.ts";
import { processClauses } from "./process.ts";
import { testContract } from "./run.ts";
import { signalClauses } from "./signals.ts";
import { spawnClauses } from "./spawn.ts";

testContract(() => [
  ...processClauses,
  ...spawnClauses,
  ...channelClauses,
  ...descriptorClauses,
  ...signalClauses,
]);
