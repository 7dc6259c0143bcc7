/**
 * Promises about servers: where they are bound, when they accept, how they let go.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { Address } from "../../src/address.ts";
import type { Listener } from "../../src/backend/backend.ts";
import { FIRST_SOCKET_FD } from "../../src/protocol.ts";
import { Client, type Kind } from "./kinds.ts";
import { Peer } from "./peer.ts";
import { type Clause, type Need, turns, type World } from "./world.ts";

interface Place {
  readonly name: string;
  readonly needs: readonly Need[];
  /** What is asked for. */
  address(world: World): Address;
  /** The host name that it is bound to. */
  readonly hostname?: string;
  /** Where clients connect, if not there. */
  readonly hosts?: readonly string[];
}

const places: readonly Place[] = [
  {
    name: "IPv4",
    needs: [],
    address: () => ({ kind: "tcp", hostname: "127.0.0.1", port: 0 }),
    hostname: "127.0.0.1",
  },
  {
    name: "IPv6",
    needs: ["IPv6"],
    address: () => ({ kind: "tcp", hostname: "::1", port: 0 }),
    hostname: "::1",
  },
  {
    name: "every address",
    needs: ["IPv6"],
    address: () => ({ kind: "tcp", hostname: undefined, port: 0 }),
    hostname: "::",
    hosts: ["127.0.0.1", "::1"],
  },
  {
    name: "a path",
    needs: [],
    address: ({ folder }) => ({ kind: "unix", path: join(folder, "socket") }),
  },
];

/** Makes a server listen here, for as long as the promise takes. */
export async function listen(
  world: World,
  kind: Kind,
  address: Address,
): Promise<Listener> {
  const listener = await kind.listen(world.backend, { address }, () => {});
  world.after(() => {
    listener.close();
    listener.finish();
  });
  return listener;
}

async function connect(world: World, { bound }: Listener, host?: string): Promise<Client> {
  const client = await Client.connect(bound, host);
  world.after(() => client.close());
  return client;
}

/** Hands a listener's socket to a child, which alone has it then. */
async function handOver(
  world: World,
  kind: Kind,
  listener: Listener,
  address: Address,
): Promise<Peer> {
  const child = await Peer.start(world, { fds: [listener.fd] });
  const inherited = { fd: FIRST_SOCKET_FD, bound: listener.bound };
  assert.deepEqual(await child.ask("secure", [FIRST_SOCKET_FD]), [true]);
  const adopted = await child.ask("adopt", [kind.name, { address, inherited }]);
  assert.deepEqual(adopted.bound, listener.bound, JSON.stringify(adopted));
  listener.close();
  return child;
}

async function whatItHolds(child: Peer): Promise<string[]> {
  const descriptors: [number, string][] = await child.ask("descriptors");
  return descriptors.map(([, what]) => what);
}

function clausesFor(kind: Kind, place: Place): Clause[] {
  const { hosts = [undefined], hostname, needs } = place;
  const subject = `${kind.name} on ${place.name}`;
  return [
    {
      title: `${subject} is bound where it was told, and its descriptor is that socket`,
      needs,
      async run(world) {
        const { backend } = world;
        const address = place.address(world);
        const listener = await listen(world, kind, address);
        const { bound } = listener;
        if (bound.kind === "unix") {
          assert.deepEqual(bound, address);
        } else {
          assert.equal(bound.hostname, hostname);
          assert.ok(bound.port > 0);
        }
        assert.equal(backend.isSocket(listener.fd), true);
        const what = world.descriptors().get(listener.fd)!;
        const child = await handOver(world, kind, listener, address);
        assert.ok(![...world.descriptors().values()].includes(what), "close() lets go of it");
        assert.ok((await whatItHolds(child)).includes(what));
        listener.close();
        await child.ask("letGo");
        await child.ask("letGo");
        assert.ok(!(await whatItHolds(child)).includes(what), "close() lets go unopened, too");
        listener.finish();
        listener.finish();
      },
    },
    {
      title: `${subject} accepts once it is open, leaves its connections alone when it closes`,
      needs: [...needs, "network"],
      async run(world) {
        const { backend } = world;
        const listener = await listen(world, kind, place.address(world));
        await listener.open();
        await listener.open();
        const clients = await Promise.all(hosts.map((host) => connect(world, listener, host)));
        for (const client of clients) assert.equal(await client.ask(), backend.pid);
        listener.close();
        await assert.rejects(Client.connect(listener.bound, hosts[0]), { code: "ECONNREFUSED" });
        for (const client of clients) assert.equal(await client.ask(), backend.pid);
        for (const client of clients) client.close();
        listener.finish();
      },
    },
    {
      title: `${subject} can be paused: clients wait, connections go on, and nobody is lost`,
      needs: [...needs, "network"],
      async run(world) {
        const { backend } = world;
        let served = 0;
        const target = { address: place.address(world) };
        const listener = await kind.listen(backend, target, () => served++);
        world.after(() => {
          listener.close();
          listener.finish();
        });
        await listener.open();
        const what = world.descriptors().get(listener.fd);
        const before = await connect(world, listener, hosts[0]);
        assert.equal(await before.ask(), backend.pid);
        // Twice, because what is put back must be such that it can be taken away again.
        for (const round of [1, 2]) {
          await listener.pause?.();
          await listener.pause?.();
          assert.equal(world.descriptors().get(listener.fd), what, "it is passed on as ever");
          const after = await connect(world, listener, hosts[0]);
          after.send();
          assert.equal(await before.ask(), backend.pid);
          await turns();
          assert.equal(served, 2 * round, "who came meanwhile is not served");
          await listener.open();
          assert.equal(await after.answer(), backend.pid);
          after.close();
        }
        await listener.pause?.();
        listener.close();
        await assert.rejects(Client.connect(listener.bound, hosts[0]), { code: "ECONNREFUSED" });
        assert.equal(await before.ask(), backend.pid);
        before.close();
        listener.finish();
      },
    },
    {
      title: `${subject} is taken over: nobody accepts before open(), nobody is lost`,
      needs: [...needs, "network"],
      async run(world) {
        const address = place.address(world);
        const listener = await listen(world, kind, address);
        const child = await handOver(world, kind, listener, address);
        const { pid } = child.process;
        const clients = await Promise.all(hosts.map((host) => connect(world, listener, host)));
        for (const client of clients) client.send();
        assert.equal(await child.ask("served"), 0);
        assert.equal(await child.ask("open"), true);
        for (const client of clients) assert.equal(await client.answer(), pid);
        assert.equal(await child.ask("served"), clients.length);
        assert.equal(await child.ask("letGo"), true);
        await assert.rejects(Client.connect(listener.bound, hosts[0]), { code: "ECONNREFUSED" });
        for (const client of clients) {
          assert.equal(await client.ask(), pid);
          client.close();
        }
        assert.equal(await child.ask("finish"), true);
        child.tell("close");
        assert.deepEqual(await child.status, { code: 0, signal: null }, "nothing keeps it alive");
      },
    },
  ];
}

/** Servers of some kinds, each in every place. */
export function listenClauses(kinds: readonly Kind[]): readonly Clause[] {
  return kinds.flatMap((kind) => places.flatMap((place) => clausesFor(kind, place)));
}
