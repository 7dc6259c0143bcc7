/**
 * Host names and IP addresses: one canonical spelling for each. Pure.
 *
 * @module
 */

const IPV4 = /^(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})){3}$/;
const HOST_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
const MAPPED_PREFIX = "::ffff:";

/** Refuses a value with a reason; made by whoever knows the whole value. */
export type Refuse = (why: string) => never;

/**
 * Checks the host of an address that a user wrote.
 *
 * @param text An IPv4 address, an IPv6 address with or without brackets, or a host name.
 * @param refuse Called with what is wrong and what to do; must throw.
 * @returns The canonical spelling: lower case, IPv6 compressed as in RFC 5952, no brackets.
 */
export function parseHostname(text: string, refuse: Refuse): string {
  if (text === "" || text === "*") return refuse("to listen on every address leave the host out");
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare.includes("%")) {
    // What a runtime reports as bound address has no zone on some of them, so nothing could be proved after adoption.
    return refuse("IPv6 zones are not supported, use an address that needs none, or every address");
  }
  if (bare !== text || /[:[\]]/.test(bare)) {
    return ipv6(bare) ?? refuse(`${JSON.stringify(bare)} is no IPv6 address such as "::1"`);
  }
  const host = bare.toLowerCase();
  const labels = host.split(".");
  if (IPV4.test(host) && !labels.some((label) => /^0./.test(label))) return host;
  if (/^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")) {
    // Resolvers read "127.1", "010.0.0.1" and "0x7f.1" as addresses, and not all alike.
    return refuse("an IPv4 address has four numbers from 0 to 255 without leading zeros");
  }
  if (host.length <= 253 && labels.every((label) => HOST_LABEL.test(label))) return host;
  return refuse("a host name has at most 253 letters, digits, hyphens and dots");
}

/**
 * The canonical spelling of a host that a kernel or a runtime reported; never throws.
 *
 * @param text A host name or an IP address without brackets.
 * @returns Lower case, IPv6 compressed as in RFC 5952; unchanged when it is not understood, for example with a zone.
 */
export function canonicalHostname(text: string): string {
  return text.includes(":") ? ipv6(text) ?? text : text.toLowerCase();
}

/**
 * One text for all hosts that take the same connections: `::ffff:127.0.0.1` is `127.0.0.1`.
 *
 * @param text A host name or an IP address without brackets.
 * @returns What to compare.
 */
export function comparableHostname(text: string): string {
  const host = canonicalHostname(text);
  const mapped = host.startsWith(MAPPED_PREFIX) && host.includes(".") && !host.includes("%");
  return mapped ? host.slice(MAPPED_PREFIX.length) : host;
}

/** The URL standard's host serializer does sections 4.1 to 4.3 of RFC 5952; the mapped form of section 5 is added. */
function ipv6(text: string): string | undefined {
  const url = `http://[${text}]/`;
  if (!/^[0-9a-f:.]+$/i.test(text) || !URL.canParse(url)) return undefined;
  const short = new URL(url).hostname.slice(1, -1);
  const words = MAPPED.exec(short);
  if (words === null) return short;
  const bytes = words.slice(1).flatMap((word) => {
    const value = Number.parseInt(word, 16);
    return [value >> 8, value & 255];
  });
  return MAPPED_PREFIX + bytes.join(".");
}
