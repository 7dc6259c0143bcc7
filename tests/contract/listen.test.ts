import { listenClauses } from "./listen.ts";
import { refusedListenClauses } from "./refused_listen.ts";
import { testContract } from "./run.ts";

testContract((kinds) => [...listenClauses(kinds), ...refusedListenClauses(kinds)]);
