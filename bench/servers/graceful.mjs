// A server with the official graceful stop of its runtime on SIGTERM: `http.Server.close()` (Node; on Deno and Bun with
// KIND=node), `Deno.HttpServer.shutdown()`, `Bun.Server.stop()`. With LISTEN_FDS=1 it takes its socket as systemd passes it
// (descriptor 3), else it binds PORT with SO_REUSEPORT. What is still open after STOP_MS is cut, as the documentation of
// `http.Server.closeAllConnections()` shows it and as every service manager would do.
import process from "node:process";
import { nodeServer, say, serveBun, serveDeno } from "./handler.mjs";

const stopMs = Number(process.env.STOP_MS);
const where = process.env.LISTEN_FDS === "1"
  ? { fd: 3 }
  : { port: Number(process.env.PORT), hostname: "127.0.0.1", reusePort: true };
const kind = process.env.KIND === "native" ? process.versions.bun ? "bun" : "deno" : "node:http";

let stop;
let port;
if (kind === "deno") {
  const server = serveDeno(where);
  port = server.addr.port;
  stop = () => server.shutdown();
} else if (kind === "bun") {
  const server = serveBun(where);
  port = server.port;
  stop = () => server.stop();
} else {
  const server = await nodeServer();
  const { hostname: host, ...rest } = where;
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(host === undefined ? rest : { host, ...rest }, resolve);
  });
  port = server.address().port;
  stop = () => new Promise((resolve) => server.close(resolve));
}

process.once("SIGTERM", () => {
  setTimeout(() => process.exit(0), stopMs).unref();
  stop().then(() => process.exit(0));
});
say({ ready: true, port });
