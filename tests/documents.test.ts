// Runs on: node26
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { root } from "../scripts/runtimes.mjs";
import { ERROR_CODES } from "../src/errors.ts";

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const read = (path: string) => readFileSync(join(root, path), "utf8");

test("the readme has fewer than 300 lines", () => {
  assert.ok(read("README.md").split("\n").length < 300);
});

for (const document of documents) {
  test(`every file and every headline that ${document} links to exists`, () => {
    const links = [...read(document).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, link]) =>
      link!
    );
    for (const link of links) {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? document : join(dirname(document), path);
      assert.ok(existsSync(join(root, target)), link);
      if (anchor === undefined) continue;
      const headlines = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, text]) =>
        text!.toLowerCase().replaceAll(/[^\p{L}\p{N}\- _]/gu, "").replaceAll(" ", "-")
      );
      assert.ok(headlines.includes(anchor), `${link}: there are ${headlines.join(", ")}`);
    }
  });
}

test("every error code has its cause and its cure", () => {
  const text = read("docs/errors.md");
  for (const code of ERROR_CODES) {
    assert.match(text, new RegExp(`^\\| .*\`${code}\`.* \\|$`, "m"), code);
  }
});

test("every frame that is sent is in the specification of the protocol", () => {
  const types = [...read("src/frames.ts").matchAll(/readonly type: "(\w+)";/g)].map(([, type]) =>
    type!
  );
  assert.ok(types.length > 10);
  const text = read("docs/protocol.md");
  for (const type of types) assert.match(text, new RegExp(`^\\|.*\`${type}\`.*\\|$`, "m"), type);
});

test("every page of the documents is linked", () => {
  const all = documents.map(read).join("\n");
  for (const name of readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"))) {
    assert.ok(new RegExp(`\\]\\((docs/)?${name}`).test(all), name);
  }
});

test("no page names a path of somebody's machine", () => {
  for (const document of documents) {
    assert.doesNotMatch(read(document), /\/(home|root|work|Users|tmp\/wt)\//, document);
  }
});
