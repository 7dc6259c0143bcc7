// gRPC on Node, Deno or Bun: @grpc/grpc-js takes the connections of a node:net server, which can be handed over.
import { Buffer } from "node:buffer";
import { createServer } from "node:net";
import process from "node:process";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { Upgrader } from "../mod.ts"; // in your program: "changeover"

const upg = await Upgrader.create();
const rpc = new Server();
// In your program: rpc.addService(YourService, implementation), from your .proto file.
const text = {
  requestStream: false,
  responseStream: false,
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
};
rpc.addService({ hello: { ...text, path: "/example.Greeter/Hello" } }, {
  hello: (_call: unknown, respond: (error: null, answer: string) => void) =>
    respond(null, `generation ${upg.generation} on ${upg.runtime}\n`),
});

const injector = rpc.createConnectionInjector(ServerCredentials.createInsecure());
const sockets = createServer((socket) => injector.injectConnection(socket));
// Clients are told to reconnect (GOAWAY); calls that run finish.
upg.drainWith("grpc", ({ timeoutMs }) => injector.drain(timeoutMs));
await upg.listen(process.env["LISTEN"] ?? "127.0.0.1:8080", sockets);
await upg.ready();
console.log(JSON.stringify({ event: "ready", ...upg.status() }));

const reason = await upg.exit;
await upg.drain();
console.log(JSON.stringify({ event: "left", reason, ...upg.status() }));
