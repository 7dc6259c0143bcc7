/**
 * For tests of programs that use an {@linkcode Upgrader}, and for systems where upgrades cannot work.
 *
 * - {@linkcode createStub}: an upgrader that really serves, stops and drains, and refuses to upgrade
 * - {@linkcode fakeBackend}: a process in memory, whose children the test plays; time stands still until it is turned
 * - {@linkcode fakeParent}: a child of an upgrade in memory, whose parent the test plays
 *
 * @example A program under test
 * ```ts no-eval
 * import { createServer } from "node:http";
 * import { createStub } from "@changeover/changeover/testing";
 *
 * const upgrader = await createStub({ logger: false });
 * await upgrader.listen("127.0.0.1:0", createServer((_request, response) => response.end("hello\n")));
 * await upgrader.ready();
 * console.log(upgrader.addresses);
 * upgrader.stop();
 * await upgrader.drain();
 * ```
 *
 * @module
 */

export { createStub, type StubOptions } from "./stub.ts";
export { type Fake, fakeBackend, type FakeBackendOptions, type FakeListener } from "./backend.ts";
export { FakeChild } from "./child.ts";
export { type FakeInheritance, FakeParent, fakeParent, type FakeParentOptions } from "./parent.ts";
export type { FakeClock } from "./clock.ts";
export type {
  AbortFrame,
  AskFrame,
  ChunkFrame,
  CommitFrame,
  CutFrame,
  DrainingGeneration,
  EndFrame,
  FailFrame,
  Frame,
  HelloFrame,
  HistoryFrame,
  JoinedFrame,
  LeftFrame,
  MoreFrame,
  OwnedFrame,
  ProbationFrame,
  ReadyFrame,
  RelayFrame,
  SocketEntry,
  SocketKind,
  TakeFrame,
  TellFrame,
} from "../protocol.ts";
