// Runs on: node22, node24, node26
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { current } from "../support/runtimes.ts";

const fixture = fileURLToPath(new URL("../fixtures/fast_properties.ts", import.meta.url));

for (const kind of ["http", "https"]) {
  test(`a node:${kind} server that was taken over is as fast an object as any`, async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const [file = "", ...args] = current().command(fixture, [String(port), kind]);
    const { stdout } = spawnSync(file, args, {
      stdio: ["ignore", "pipe", "inherit", fd],
      encoding: "utf8",
      timeout: 20_000,
    });
    server.close();
    assert.deepEqual(JSON.parse(stdout), { listening: true, isFast: true });
  });
}
