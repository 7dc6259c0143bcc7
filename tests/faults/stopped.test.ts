// Runs on: node26
import { testRows } from "./pairs.ts";
import { stopped } from "./rows_stopped.ts";

testRows(stopped, 4);
