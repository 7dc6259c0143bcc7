import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, test } from "node:test";
import { checkPidFile, removePidFile, writePidFile } from "../../src/pid_file.ts";

let folder = "";
let file = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "changeover-pid-"));
  file = join(folder, "app.pid");
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(folder, { recursive: true });
});

// Root may write anywhere, whatever the mode says.
const skip = process.getuid?.() === 0 ? "runs as root" : false;

describe("writePidFile", () => {
  test("writes the PID and a newline, readable for all", () => {
    writePidFile(file, 1234);
    assert.equal(readFileSync(file, "utf8"), "1234\n");
    assert.equal(statSync(file).mode & 0o777, 0o644 & ~process.umask());
    assert.deepEqual(readdirSync(folder), ["app.pid"]);
  });

  test("replaces the file in one step, so that an open old one keeps its content", () => {
    writePidFile(file, 1);
    const before = statSync(file).ino;
    writePidFile(file, 22);
    assert.notEqual(statSync(file).ino, before);
    assert.equal(readFileSync(file, "utf8"), "22\n");
  });

  test("replaces a symbolic link and does not write through it", () => {
    const victim = join(folder, "victim");
    writeFileSync(victim, "precious");
    symlinkSync(victim, file);
    writePidFile(file, 1);
    assert.ok(lstatSync(file).isFile());
    assert.equal(readFileSync(victim, "utf8"), "precious");
  });

  test("says why it could not, keeps the cause, and leaves nothing behind", () => {
    mkdirSync(file);
    const failures: [string, RegExp][] = [
      [
        join(folder, "none/app.pid"),
        /Cannot write PID file ".*none\/app\.pid": its folder does not/,
      ],
      [file, /Cannot write PID file ".*app\.pid": it is a folder/],
    ];
    for (const [path, message] of failures) {
      assert.throws(() => writePidFile(path, 1), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.cause instanceof Error);
        return true;
      });
    }
    assert.deepEqual(readdirSync(folder), ["app.pid"]);
  });

  test("leaves the old file alone in a folder that cannot be written to", { skip }, () => {
    writePidFile(file, 1);
    chmodSync(folder, 0o500);
    assert.throws(() => writePidFile(file, 2), { message: /this user may not write there/ });
    assert.equal(readFileSync(file, "utf8"), "1\n");
  });
});

describe("removePidFile", () => {
  test("removes the file that holds our PID", () => {
    writePidFile(file, 1234);
    assert.equal(removePidFile(file, 1234), true);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("leaves a successor's file alone", () => {
    for (const content of ["1235\n", "12345\n", "123", "", "1234 5"]) {
      writeFileSync(file, content);
      assert.equal(removePidFile(file, 1234), false);
      assert.equal(readFileSync(file, "utf8"), content);
    }
  });

  test("has nothing to do when the file or its folder is gone", () => {
    assert.equal(removePidFile(file, 1), false);
    assert.equal(removePidFile(join(folder, "none/app.pid"), 1), false);
  });

  test("does not read what is no file", () => {
    mkdirSync(file);
    assert.equal(removePidFile(file, 1), false);
  });
});

describe("checkPidFile", () => {
  test("gives the absolute path, below the folder it was told", () => {
    assert.equal(checkPidFile(file), file);
    assert.equal(checkPidFile("app.pid", { cwd: folder }), file);
    assert.equal(checkPidFile("./x/../app.pid", { cwd: folder }), file);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("takes a file that is there already", () => {
    writePidFile(file, 1);
    assert.equal(checkPidFile(file), file);
  });

  test("refuses at the door what could not be written later", () => {
    mkdirSync(join(folder, "folder"));
    writeFileSync(join(folder, "plain"), "");
    const wrong: [string, RegExp][] = [
      ["none/app.pid", /Cannot use PID file ".*none\/app\.pid": its folder does not exist/],
      ["plain/app.pid", /what should be its folder is none/],
      ["folder", /it is a folder/],
    ];
    for (const [path, message] of wrong) {
      assert.throws(() => checkPidFile(path, { cwd: folder }), { name: "Error", message });
    }
  });

  test("refuses a folder that cannot be written to", { skip }, () => {
    chmodSync(folder, 0o500);
    assert.throws(() => checkPidFile(file), { message: /this user may not write there/ });
  });

  test("throws a TypeError for what is no path of a file", () => {
    for (const path of ["", "a\0b", "/run/", 1, undefined]) {
      assert.throws(() => checkPidFile(path as string), { name: "TypeError" });
    }
  });
});
