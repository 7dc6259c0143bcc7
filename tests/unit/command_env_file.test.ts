import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { namesInEnvFiles, readEnvFiles } from "../../src/command_env_file.ts";
import { serving } from "../support/fake_app.ts";

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "co-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test("variables are read as node --env-file takes them, later files win, relative ones are below the folder", (t) => {
  const where = folder(t);
  writeFileSync(join(where, "a"), "# comment\nA=1\nexport B='x y'\nC=\n");
  writeFileSync(join(where, "b"), "A=2\n");
  assert.deepEqual(readEnvFiles(["a", join(where, "b")], where), { A: "2", B: "x y", C: "" });
  assert.deepEqual(readEnvFiles(undefined, where), {});
});

test("a file that cannot be read is refused with what to do", (t) => {
  const where = folder(t);
  const error = (message: RegExp) => ({ name: "UpgradeError", code: "ERR_SPAWN", message });
  assert.throws(() => readEnvFiles("none", where), error(/does not exist; restore it/));
  assert.throws(() => readEnvFiles(where, "/"), error(/cannot be read \(EISDIR\)/));
  assert.deepEqual(namesInEnvFiles("none", where), new Set());
});

test("each upgrade reads the file again: what changed changes, what is gone is removed", async (t) => {
  const where = folder(t);
  const envFile = join(where, "app.env");
  writeFileSync(envFile, "PORT=1\nOLD=1\n");
  const { fake, upgrader } = await serving(
    { envFile, env: { OWN: "1" } },
    { env: { PATH: "/usr/bin:/bin", PORT: "1", OLD: "1", OWN: "0" } },
  );
  writeFileSync(envFile, "PORT=2\nOWN=2\n");
  const upgrade = upgrader.upgrade();
  const child = await fake.child();
  const { PORT, OLD, OWN } = child.request.env;
  assert.deepEqual({ PORT, OLD, OWN }, { PORT: "2", OLD: undefined, OWN: "1" });
  await child.ready();
  await child.owned();
  await upgrade;
});

test("an envFile that is no path is refused", async () => {
  for (const envFile of [1, "", ["a", ""], {}, "a\0b"]) {
    await assert.rejects(serving({ envFile: envFile as never }), /Cannot use envFile: expected/);
  }
});
