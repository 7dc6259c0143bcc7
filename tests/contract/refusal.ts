import assert from "node:assert/strict";
import { type ErrorCode, UpgradeError } from "../../src/errors.ts";

/**
 * Waits for a refusal with a code.
 *
 * @returns Its message, which is a sentence as all of this library's are.
 */
export async function refusal(attempt: Promise<unknown>, code: ErrorCode): Promise<string> {
  const error = await attempt.then(
    () => assert.fail(`It was not refused with ${code}`),
    (error: unknown) => error,
  );
  if (!UpgradeError.is(error)) throw error;
  assert.equal(error.code, code, error.message);
  assertSentence(error.message);
  return error.message;
}

/** "Cannot do X: why", in one line and without a full stop. */
export function assertSentence(message: string): void {
  assert.match(message, /^Cannot [^\n]+: [^\n]*[^.\n]$/);
}
