// Runs on: node26
import { testRows } from "./pairs.ts";
import { deaths } from "./rows.ts";

testRows(deaths, 0);
