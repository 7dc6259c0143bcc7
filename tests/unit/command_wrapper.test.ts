import assert from "node:assert/strict";
import { test } from "node:test";
import { findWrapper, type ProcessLine, wrapperWarning } from "../../src/command_wrapper.ts";

/** Looks at processes 1, 2, ... whose parents are the next. */
const family = (...lines: string[][]) => (pid: number): ProcessLine | undefined => {
  const cmdline = lines[pid - 1];
  return cmdline === undefined ? undefined : { cmdline, parentPid: pid + 1 };
};

test("a runner of scripts is recognised, also behind the shell that it starts", () => {
  for (
    const [wrapper, ...lines] of [
      ["npm", ["npm start"]],
      ["npm", ["npm run serve", ""]],
      ["npm", ["node", "/usr/bin/npm", "start"]],
      ["npm", ["/usr/bin/node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "start"]],
      ["npm", ["sh", "-c", "node server.js"], ["npm start"]],
      ["npx", ["npm exec"], ["npx"]],
      ["pnpm", ["node", "/opt/pnpm.cjs", "start"]],
      ["yarn", ["node", "/opt/yarn.js", "start"]],
      ["tsx", ["node", "/app/node_modules/.bin/tsx", "server.ts"]],
      ["tsx", ["node", "--no-warnings", "/app/node_modules/tsx/dist/cli.mjs", "server.ts"]],
      ["nodemon", ["node", "/app/node_modules/nodemon/bin/nodemon.js", "server.js"]],
      ["bun run", ["bun", "run", "start"]],
      ["deno task", ["/usr/bin/deno", "task", "start"]],
    ] as [string, ...string[][]][]
  ) {
    const expected = lines[0]?.[0] === "npm exec" ? "npm" : wrapper;
    assert.equal(findWrapper(1, family(...lines)), expected, JSON.stringify(lines));
  }
});

test("a shell, a service manager and changeover run are none", () => {
  for (
    const lines of [
      [],
      [["bash"], ["npm start"]],
      [["-zsh"]],
      [["sh", "-c", "node server.js"], ["/usr/lib/systemd/systemd"]],
      [["/usr/lib/systemd/systemd", "--user"]],
      [["node", "/app/node_modules/.bin/changeover", "run", "--", "node", "server.js"], [
        "npm start",
      ]],
      [["node", "--test", "tests/unit"]],
      [["bun", "run", "server.ts"]],
      [["deno", "run", "-A", "server.ts"]],
    ]
  ) assert.equal(findWrapper(1, family(...lines)), undefined, JSON.stringify(lines));
});

test("the warning says what happens and what to do", () => {
  assert.match(wrapperWarning("npm"), /started by npm, which ends .* "changeover run --"/);
});
