/**
 * Names of sockets as `bind(2)` takes them: `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`.
 *
 * @module
 */

import { parseIp } from "./ip.ts";
import { LibcError, type SocketName } from "./libc.ts";

const AF_UNIX = 1;
const AF_INET = 2;
/** `sun_path`, of which one byte is for the end; 104 on macOS. */
const PATH_SIZE = 104;

/**
 * Writes a name.
 *
 * @param name Host name (an IP address) and port, or path.
 * @param platform What differs between systems.
 * @returns A `struct sockaddr` of the right length.
 * @throws {LibcError} `EINVAL` for what is no IP address, `ENAMETOOLONG` for a path that is too long.
 */
export function encodeName(
  name: SocketName,
  { AF_INET6, hasLength }: { readonly AF_INET6: number; readonly hasLength: boolean },
): Uint8Array {
  const head = (family: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    if (hasLength) bytes.set([length, family]);
    else new DataView(bytes.buffer).setUint16(0, family, true);
    return bytes;
  };
  if ("path" in name) {
    const path = new TextEncoder().encode(`${name.path}\0`);
    if (path.length > PATH_SIZE) throw new LibcError("ENAMETOOLONG", "bind", name.path);
    const bytes = head(AF_UNIX, 2 + path.length);
    bytes.set(path, 2);
    return bytes;
  }
  const ip = parseIp(name.hostname);
  if (ip === undefined) throw new LibcError("EINVAL", "bind", name.hostname);
  const bytes = ip.length === 4 ? head(AF_INET, 16) : head(AF_INET6, 28);
  new DataView(bytes.buffer).setUint16(2, name.port);
  bytes.set(ip, ip.length === 4 ? 4 : 8);
  return bytes;
}
