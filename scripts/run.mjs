// Runs one command in a process group of its own, within a time limit, and says what it left behind.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const OUTPUT_LIMIT = 200_000;

const groups = new Set();

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.once(signal, () => {
    for (const group of groups) kill(group, "SIGKILL");
    process.exit(code);
  });
}

/**
 * @param {readonly string[]} command
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv, limitMs: number, live?: boolean }} options `live`: also
 *   print the output while it arrives.
 * @returns {Promise<{ code: number, output: string, timedOut: boolean, left: string[], ms: number }>} `left`:
 *   the processes that outlived the command; they are ended.
 */
export async function run(
  [executable, ...args],
  { cwd, env = process.env, limitMs, live = false },
) {
  const start = performance.now();
  const child = spawn(executable, args, {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const group = child.pid;
  if (group !== undefined) groups.add(group);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output = (output + text).slice(-OUTPUT_LIMIT);
      if (live) process.stdout.write(text);
    });
  }
  const closed = new Promise((resolve) => child.once("close", resolve));
  const ended = new Promise((resolve) => {
    child.once("error", (error) => {
      output += `${error.message}\n`;
      resolve(127);
    });
    child.once("exit", (code) => resolve(code ?? 1));
  });

  let timedOut = false;
  const killers = [];
  killers.push(setTimeout(() => {
    timedOut = true;
    kill(group, "SIGTERM");
    killers.push(setTimeout(() => kill(group, "SIGKILL"), 3_000));
  }, limitMs));
  const code = await ended;
  killers.forEach(clearTimeout);

  // A process that is still here also holds our end of its output, so "close" may not come before it is gone.
  const left = group === undefined ? [] : await survivors(group);
  if (left.length > 0) kill(group, "SIGKILL");
  groups.delete(group);
  await Promise.race([closed, sleep(1_000)]);
  child.stdout.destroy();
  child.stderr.destroy();
  return { code, output, timedOut, left, ms: performance.now() - start };
}

function kill(group, signal) {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false; // nobody there
  }
}

async function survivors(group) {
  const deadline = performance.now() + 3_000;
  for (;;) {
    const left = kill(group, 0) ? members(group) : [];
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(50);
  }
}

// An orphan that has ended stays in the group as a zombie where process 1 does not reap, so signal 0 is not proof.
function members(group) {
  if (process.platform !== "linux") return [`process group ${group}`];
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, , its] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(its) !== group || state === "Z" || state === "X") return [];
      return [
        `${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}`,
      ];
    } catch {
      return []; // ended meanwhile
    }
  });
}
