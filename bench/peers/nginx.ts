/**
 * nginx: `reload` (SIGHUP) and the binary upgrade (SIGUSR2, SIGWINCH, SIGQUIT).
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { owesSession, temporaryFolder } from "../measure/cleanup.ts";
import { endSessions, lookAt, membersOf, signal } from "../measure/processes.ts";
import type { Peer, Service } from "./peer.ts";
import { freePort } from "./port.ts";

const SOURCE = "https://nginx.org/en/docs/control.html";
const LIMIT_MS = 10_000;

/** Both ways. */
export function nginxPeers(): Peer[] {
  const common = { ours: false, source: SOURCE, webSockets: false, missing };
  return [
    {
      ...common,
      name: "nginx-reload",
      label: "nginx reload",
      practice: "SIGHUP to the master, as `nginx -s reload` does",
      start: () => start(reload),
    },
    {
      ...common,
      name: "nginx-usr2",
      label: "nginx binary upgrade",
      practice:
        "SIGUSR2, when the new master and its worker run SIGWINCH and SIGQUIT to the old master",
      start: () => start(upgrade),
    },
  ];
}

/** Its full path: with SIGUSR2 it starts again what it was called. */
const executable = (process.env["PATH"] ?? "").split(":").concat("/usr/sbin", "/usr/local/sbin")
  .map((folder) => join(folder, "nginx")).find((path) => existsSync(path));

function missing(): string | undefined {
  return executable === undefined ? "nginx is not installed" : undefined;
}

async function start(flip: (nginx: Nginx) => Promise<void>): Promise<Service> {
  const nginx = new Nginx(await freePort());
  await nginx.start();
  return {
    port: nginx.port,
    sessions: nginx.sessions,
    flip: () => flip(nginx),
    stop: () => endSessions(nginx.sessions),
  };
}

async function reload(nginx: Nginx): Promise<void> {
  const master = nginx.master();
  const before = new Set(nginx.workersOf(master));
  signal(master, "SIGHUP");
  await until("a new worker", () => nginx.workersOf(master).some((pid) => !before.has(pid)));
}

async function upgrade(nginx: Nginx): Promise<void> {
  const old = nginx.master();
  signal(old, "SIGUSR2");
  await until("a new master", () => nginx.master() !== old && nginx.master() !== 0);
  const master = nginx.master();
  await until("its worker", () => nginx.workersOf(master).length > 0);
  signal(old, "SIGWINCH");
  await until(
    "the old workers' end",
    () => nginx.workersOf(old).filter((pid) => pid !== master).length === 0,
    // Its connections may take their time; the documentation does not wait for them either.
    1000,
  ).catch(() => {});
  signal(old, "SIGQUIT");
}

class Nginx {
  readonly port: number;
  readonly sessions: Set<number> = new Set();
  readonly #folder = temporaryFolder();

  constructor(port: number) {
    this.port = port;
  }

  async start(): Promise<void> {
    const folder = this.#folder;
    mkdirSync(join(folder, "logs"), { recursive: true });
    const file = join(folder, "nginx.conf");
    writeFileSync(file, configuration(folder, this.port));
    const { status, stderr } = spawnSync(
      executable!,
      ["-p", folder, "-c", file, "-e", join(folder, "error.log")],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`nginx does not start: ${stderr}`);
    await until("nginx", () => this.master() !== 0 && this.workersOf(this.master()).length > 0);
    const { session } = lookAt(this.master())!;
    this.sessions.add(session);
    owesSession(session);
  }

  /** The master that owns the PID file, 0 while there is none. */
  master(): number {
    const file = join(this.#folder, "nginx.pid");
    return existsSync(file) ? Number.parseInt(readFileSync(file, "utf8"), 10) || 0 : 0;
  }

  workersOf(master: number): number[] {
    const look = lookAt(master);
    if (look === undefined) return [];
    return membersOf(new Set([look.session])).filter(({ parent }) => parent === master)
      .map(({ pid }) => pid);
  }
}

async function until(what: string, holds: () => boolean, limitMs = LIMIT_MS): Promise<void> {
  for (const end = performance.now() + limitMs; !holds(); await sleep(2)) {
    if (performance.now() > end) throw new Error(`nginx: no sign of ${what} in ${limitMs} ms`);
  }
}

// nginx has no handler of its own that echoes: mirroring makes it read the body, `return` sends it back.
function configuration(folder: string, port: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
  return `
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  ${temporary}
  client_body_in_single_buffer on;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port};
    default_type text/plain;
    location / {
      add_header x-generation $pid always;
      if ($request_method = GET) { return 200 "ok"; }
      mirror /mirror;
      mirror_request_body on;
      error_page 403 404 405 =200 @echo;
    }
    location = /mirror { internal; return 204; }
    location @echo { add_header x-generation $pid always; return 200 $request_body; }
  }
}
`;
}
