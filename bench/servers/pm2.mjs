// What PM2 runs in cluster mode, with the graceful stop of its documentation: it says "ready", and on SIGINT it closes the
// server and ends.
import process from "node:process";
import { nodeServer } from "./handler.mjs";

const server = await nodeServer();
server.listen(Number(process.env.PORT), "127.0.0.1", () => process.send?.("ready"));
process.on("SIGINT", () => server.close(() => process.exit(0)));
