/**
 * Promises about servers that cannot listen, or not on the socket that they were given.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { Address } from "../../src/address.ts";
import { FIRST_SOCKET_FD } from "../../src/protocol.ts";
import { disobedient, type Kind } from "./kinds.ts";
import { listen } from "./listen.ts";
import { Peer } from "./peer.ts";
import { assertSentence, refusal } from "./refusal.ts";
import type { Clause, World } from "./world.ts";

const LOOPBACK: Address = { kind: "tcp", hostname: "127.0.0.1", port: 0 };

async function refusedStart(world: World, kind: Kind): Promise<void> {
  const listener = await listen(world, world.kinds[0]!, LOOPBACK);
  const child = await Peer.start(world, { fds: [listener.fd] });
  const what = world.descriptors().get(listener.fd);
  const inherited = { fd: FIRST_SOCKET_FD, bound: listener.bound };
  await child.ask("secure", [FIRST_SOCKET_FD]);
  const adopt = (name: string) => child.ask("adopt", [name, { address: LOOPBACK, inherited }]);
  const failure = await adopt(kind.name);
  assert.equal(failure.code, "ERR_ADOPT", failure.message);
  assertSentence(failure.message);
  const left = new Map<number, string>(await child.ask("descriptors"));
  assert.equal(left.get(FIRST_SOCKET_FD), what, "the socket is the caller's as before");
  assert.deepEqual(
    (await adopt(world.kinds[0]!.name)).bound,
    listener.bound,
    "and as good as before",
  );
}

/** Refusals of addresses by servers of one kind. */
function addressClauses(kind: Kind): Clause[] {
  const refused = (world: World, address: Address) =>
    refusal(listen(world, kind, address), "ERR_ADDRESS");
  return [
    {
      title: `${kind.name} is refused a port that is in use, and can have another one`,
      async run(world) {
        const { bound } = await listen(world, kind, LOOPBACK);
        assert.ok(bound.kind === "tcp");
        assert.match(await refused(world, bound), /127\.0\.0\.1:\d+: .*in use/);
        await listen(world, kind, LOOPBACK);
      },
    },
    {
      title: `${kind.name} is refused every address when one of them is in use`,
      needs: ["IPv6"],
      async run(world) {
        const { bound } = await listen(world, kind, LOOPBACK);
        assert.ok(bound.kind === "tcp");
        const { port } = bound;
        assert.match(await refused(world, { kind: "tcp", hostname: undefined, port }), /in use/);
      },
    },
    {
      title: `${kind.name} gets the port that another one has let go of`,
      async run(world) {
        const first = await listen(world, kind, LOOPBACK);
        assert.ok(first.bound.kind === "tcp");
        await first.open();
        first.close();
        first.finish();
        assert.deepEqual((await listen(world, kind, first.bound)).bound, first.bound);
      },
    },
    {
      title: `${kind.name} is refused a path that somebody serves, and may replace a stale one`,
      needs: ["network"],
      async run(world) {
        const address: Address = { kind: "unix", path: join(world.folder, "socket") };
        const first = await listen(world, kind, address);
        await first.open();
        assert.match(await refused(world, address), /another process serves/);
        first.close();
        const second = await listen(world, kind, address);
        assert.deepEqual(second.bound, address);
      },
    },
    {
      title:
        `${kind.name} is not hindered by what others have put beside its path, and leaves it alone`,
      needs: ["network"],
      async run(world) {
        const address: Address = { kind: "unix", path: join(world.folder, "socket") };
        // Names that can be foreseen.
        const planted = ["", `${process.pid}`, "tmp", "placeholder"]
          .map((end) => `${address.path}.${end}`);
        for (const path of planted) writeFileSync(path, "planted");
        const listener = await listen(world, kind, address);
        assert.deepEqual(listener.bound, address);
        for (const path of planted) assert.equal(readFileSync(path, "utf8"), "planted");
        listener.close();
        listener.finish();
        assert.equal(readdirSync(world.folder).length, planted.length + 1, "nothing else is left");
      },
    },
    {
      title: `${kind.name} is refused an address or a path that cannot be bound, with the reason`,
      needs: ["permissions"],
      async run(world) {
        const elsewhere: Address = { kind: "tcp", hostname: "192.0.2.1", port: 0 };
        assert.match(await refused(world, elsewhere), /192\.0\.2\.1.*does not have that address/);
        const path = join(world.folder, "missing", "socket");
        assert.match(
          await refused(world, { kind: "unix", path }),
          /folder.*missing does not exist/,
        );
        const file = join(world.folder, "file");
        writeFileSync(file, "precious");
        assert.match(await refused(world, { kind: "unix", path: file }), /not a socket/);
      },
    },
  ];
}

/** Refusals. */
export function refusedListenClauses(own: readonly Kind[]): readonly Clause[] {
  return [
    ...own.flatMap(addressClauses),
    {
      title: "a server that listens already is refused and goes on listening",
      async run(world) {
        const server: Server = createServer();
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        world.after(() => new Promise((resolve) => server.close(resolve)));
        const attempt = world.backend.listen(server, { address: LOOPBACK });
        assert.match(await refusal(attempt, "ERR_ADOPT"), /it listens already/);
        assert.equal(server.listening, true);
      },
    },
    {
      title: "a function that listens on another port than it was told is refused",
      needs: ["network"],
      async run(world) {
        const listener = await listen(world, world.kinds[0]!, LOOPBACK);
        const { bound } = listener;
        assert.ok(bound.kind === "tcp");
        listener.close();
        listener.finish();
        const attempt = listen(world, disobedient[1]!, bound);
        await refusal(attempt, "ERR_ADOPT");
      },
    },
    {
      title: "a function that returns nothing is refused",
      async run(world) {
        const attempt = listen(world, disobedient[0]!, LOOPBACK);
        assert.match(await refusal(attempt, "ERR_ADOPT"), /nothing/);
      },
    },
    {
      title: "what a function throws is thrown on",
      async run(world) {
        const error = new Error("no database");
        const start = () => {
          throw error;
        };
        const later = () => Promise.reject(error);
        for (const fails of [start, later]) {
          const attempt = world.backend.start(fails, { address: LOOPBACK });
          await assert.rejects(attempt, (thrown) => thrown === error);
        }
      },
    },
    {
      title: "a function that returns nothing does not get the inherited socket",
      run: (world) => refusedStart(world, disobedient[0]!),
    },
    {
      title: "a server that listens somewhere else does not get the inherited socket",
      needs: ["network"],
      run: (world) => refusedStart(world, disobedient[1]!),
    },
  ];
}
