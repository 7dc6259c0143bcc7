/**
 * What has to be undone whatever happens: processes that are to be ended, folders that are to be removed.
 *
 * @module
 */

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { endSessions } from "./processes.ts";

const sessions = new Set<number>();
const folders = new Set<string>();
let notes: string | undefined;

/** What is owed is also noted in this file: for whoever has to clean up after a part that was killed. */
export function noteIn(path: string | undefined): void {
  notes = path;
}

/** Ends every process of this session with the part, should nobody else do so before. */
export function owesSession(session: number): void {
  sessions.add(session);
  if (notes !== undefined) appendFileSync(notes, `${JSON.stringify({ session })}\n`);
}

/** A folder that is removed with the part. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "changeover-bench-"));
  folders.add(folder);
  if (notes !== undefined) appendFileSync(notes, `${JSON.stringify({ folder })}\n`);
  return folder;
}

/** Ends and removes everything that is owed. */
export async function cleanUp(): Promise<void> {
  await endSessions(sessions);
  sessions.clear();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  folders.clear();
}

/** Does so for a part that has noted it in a file, and removes the file. */
export async function cleanUpAfter(path: string): Promise<void> {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return; // It owed nothing.
  }
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const { session, folder } = JSON.parse(line) as { session?: number; folder?: string };
    if (session !== undefined) sessions.add(session);
    if (folder !== undefined) folders.add(folder);
  }
  await cleanUp();
  rmSync(path, { force: true });
}

/** Also when the part is ended from outside, because its time is over. */
export function cleanUpOnSignals(): void {
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.once(name, () => void cleanUp().finally(() => process.exit(1)));
  }
}
