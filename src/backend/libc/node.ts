/**
 * The raw binding on Node: `node:ffi` (Node 26), else the package `koffi` where the user installed it.
 *
 * @module
 */

import process from "node:process";
import { collect, messageOf, type RawFunction, type RawResult, returnNumber } from "./bind.ts";
import type { CType, Platform, Prototype } from "./platform.ts";

/** The part of `node:ffi` that is used; experimental in Node 26. */
interface NodeFfi {
  dlopen(
    path: string,
    definitions: Record<string, { arguments: readonly string[]; return: string }>,
  ): { readonly functions: Record<string, RawFunction> };
}

/** The part of koffi that is used; see https://koffi.dev/functions. */
interface Koffi {
  load(path: string): {
    func(name: string, result: string, parameters: readonly string[]): RawFunction;
  };
}

const nodeTypes: Readonly<Record<CType, string>> = {
  int: "int32",
  size: "uint64",
  ssize: "int64",
  address: "uint64",
  buffer: "pointer",
};

const koffiTypes: Readonly<Record<CType, string>> = {
  int: "int",
  size: "size_t",
  ssize: "intptr_t",
  address: "uintptr_t",
  buffer: "void *",
};

/** `node:ffi` takes nothing but a bigint for 64 bits. */
function passBigInts(call: RawFunction, prototype: Prototype): RawFunction {
  const wide = prototype.parameters.map((type) => type === "size" || type === "address");
  if (!wide.includes(true)) return call;
  return (...args) => call(...args.map((arg, i) => wide[i] === true ? BigInt(arg) : arg));
}

function bindNodeFfi(ffi: NodeFfi, platform: Platform): RawResult {
  const wanted: Record<string, { arguments: readonly string[]; return: string }> = {};
  for (const prototype of Object.values(platform.prototypes)) {
    if (prototype === undefined) continue;
    wanted[prototype.symbol] = {
      arguments: prototype.parameters.map((type) => nodeTypes[type]),
      return: nodeTypes[prototype.result],
    };
  }
  let reason = "";
  for (const path of platform.libraries) {
    try {
      const { functions } = ffi.dlopen(path, wanted);
      return {
        symbols: collect(platform, (prototype) => {
          const call = passBigInts(functions[prototype.symbol] as RawFunction, prototype);
          return returnNumber(call, prototype);
        }),
      };
    } catch (error) {
      if ((error as { code?: unknown }).code === "ERR_ACCESS_DENIED") {
        return { reason: "--allow-ffi is missing: Node runs with --permission" };
      }
      reason ||= messageOf(error);
    }
  }
  return { reason: `the C library cannot be loaded: ${reason}` };
}

/** Looks where this library is installed, and beside the program, for package managers that do not hoist. */
function requireKoffi(): Koffi | undefined {
  // Not an import: this file is loaded everywhere, and Deno needs 2 ms of CPU time for that module.
  const module = process.getBuiltinModule?.("node:module");
  if (module === undefined) return undefined; // Node before 20.16
  for (const from of [import.meta.url, process.argv[1]]) {
    if (from === undefined) continue;
    try {
      return module.createRequire(from)("koffi") as Koffi;
    } catch {
      // Not installed, or not built for this machine: the caller says what to do.
    }
  }
  return undefined;
}

function bindKoffi(koffi: Koffi, platform: Platform): RawResult {
  let reason = "";
  for (const path of platform.libraries) {
    try {
      const library = koffi.load(path);
      return {
        symbols: collect(platform, (prototype) => {
          const parameters = prototype.parameters.map((type) => koffiTypes[type]);
          const result = koffiTypes[prototype.result];
          return returnNumber(library.func(prototype.symbol, result, parameters), prototype);
        }),
      };
    } catch (error) {
      reason ||= messageOf(error);
    }
  }
  return { reason: `the C library cannot be loaded by koffi: ${reason}` };
}

/**
 * Loads the C library on Node. The first touch of `node:ffi` prints an ExperimentalWarning.
 *
 * @param platform Describes this machine.
 * @returns The functions, or why there are none.
 */
export function bindNode(platform: Platform): RawResult {
  const ffi = process.getBuiltinModule?.("node:ffi") as NodeFfi | undefined;
  if (ffi !== undefined) return bindNodeFfi(ffi, platform);
  const koffi = requireKoffi();
  if (koffi !== undefined) return bindKoffi(koffi, platform);
  return { reason: 'this Node has no "node:ffi": use Node 26, or install the package "koffi"' };
}
