// Runs on: node26, deno, bun
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { growth, type Look, look } from "../../bench/soak/growth.ts";
import { Service } from "../../bench/soak/service.ts";
import { get } from "../support/chain.ts";
import { current } from "../support/runtimes.ts";

// `npm run soak:leaks` does the same a thousand times, and judges memory as well.
const TIMES = 12;
const EVERY = 2;

const runtime = current();
const limit = { timeout: 150_000 };

async function started(t: TestContext): Promise<{ service: Service; folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const service = new Service(runtime, folder, { control: join(folder, "c.sock") });
  t.after(() => service.end());
  await service.start();
  return { service, folder };
}

/** Asks again and again, each time on a connection of its own. @returns Ends it; resolves with the number of answers. */
function client(port: number): () => Promise<number> {
  let stopped = false;
  let count = 0;
  const asked = (async () => {
    for (; !stopped; count++) {
      assert.equal((await get({ host: "127.0.0.1", port })).text, "ok");
    }
  })();
  // Told by whoever ends it.
  asked.catch(() => {});
  return async () => {
    stopped = true;
    await asked;
    return count;
  };
}

/** Does something again and again while clients ask. @returns What has grown. */
async function repeat(
  { service, folder }: { service: Service; folder: string },
  step: (n: number) => Promise<unknown>,
): Promise<string[]> {
  const clients = [service.port, service.native].map(client);
  const looks: Look[] = [];
  for (let n = 1; n <= TIMES; n++) {
    await step(n);
    // In so short a time memory says nothing.
    if (n % EVERY === 0) looks.push({ ...await look(service, folder), heap: 0, resident: 0 });
  }
  for (const end of clients) assert.ok(await end() > TIMES, "clients were there all the time");
  return growth(runtime.name, looks);
}

test("nothing grows from generation to generation", limit, async (t) => {
  const { service, folder } = await started(t);
  const upgrade = () => service.upgrade(runtime.command(service.script));
  assert.deepEqual(await repeat({ service, folder }, upgrade), []);
  assert.equal(service.generation, TIMES + 1);
  await service.stop();
  assert.deepEqual(readdirSync(folder), ["next.json"], "no name is left");
});

test("nothing grows in a process whose upgrades fail", limit, async (t) => {
  const { service, folder } = await started(t);
  const failures: (readonly string[])[] = [
    ["/bin/false"],
    ["/nonexistent"],
    runtime.command(service.script, ["fail"]),
  ];
  const fail = (n: number) => service.fail(failures[n % failures.length]!);
  assert.deepEqual(await repeat({ service, folder }, fail), []);
  assert.equal(service.generation, 1);
  await service.stop();
  assert.deepEqual(readdirSync(folder), ["next.json"], "no name is left");
});
