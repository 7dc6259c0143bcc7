// Runs on: node26
import { testRows } from "./pairs.ts";
import { troubles } from "./rows_trouble.ts";

testRows(troubles, 2);
