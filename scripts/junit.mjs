// Counts the tests in the JUnit reports of Node, Deno and Bun, which agree on little more than the element names.

/**
 * Counts leaves: a suite, or a test with subtests, counts only when it failed by itself.
 *
 * @param {string} xml A report, possibly cut off.
 * @param {string} file The test file as it was given on the command line.
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function countTests(xml, file) {
  const cases = testCases(xml);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, state } of cases) {
    // Deno lists a suite beside its tests, as "suite" and "suite > test".
    const inside = cases.filter((other) => other.name.startsWith(`${name} &gt; `));
    if (
      inside.length > 0 && !(state === "failed" && inside.every((one) => one.state !== "failed"))
    ) {
      continue;
    }
    // Node reports the file itself as a test when nothing in it is one, also when it could not be loaded.
    if (name === file && state !== "failed") continue;
    counts[state]++;
  }
  return counts;
}

function testCases(xml) {
  const cases = [];
  // Text never holds a bare "<"; attributes may hold a bare ">", and Node's comments hold anything.
  const tags = /<(testcase|failure|error|skipped)\b((?:"[^"]*"|'[^']*'|[^>"'])*)>/g;
  for (const [, tag, attributes] of xml.replace(/<!--[\s\S]*?-->/g, "").matchAll(tags)) {
    if (tag === "testcase") {
      cases.push({ name: /\bname="([^"]*)"/.exec(attributes)?.[1] ?? "", state: "passed" });
    } else if (cases.length > 0) {
      cases[cases.length - 1].state = tag === "skipped" ? "skipped" : "failed";
    }
  }
  return cases;
}
