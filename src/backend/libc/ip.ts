/**
 * IP addresses from bytes to text and back.
 *
 * @module
 */

// Not isIPv4() and isIPv6(): on Bun node:net takes 6 ms to load.
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const isIPv6 = (text: string): boolean =>
  /^[0-9a-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]/`);

/**
 * Prints an address.
 *
 * @param bytes Four bytes for IPv4, sixteen for IPv6, network order.
 * @returns Dotted decimal, or the text form of RFC 5952.
 */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  // RFC 5952 section 5: IPv4-mapped addresses keep their dotted form.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join(".")}`;
  }
  // Section 4.2: the longest run of two or more zero groups, the first of equals, becomes "::".
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
  }
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (start < 0) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/**
 * Reads an address.
 *
 * @param text As {@linkcode formatIp} prints it, or any other form of RFC 4291 section 2.2.
 * @returns Four or sixteen bytes; `undefined` when it is no address, or one with a scope.
 */
export function parseIp(text: string): Uint8Array | undefined {
  if (IPV4.test(text)) return Uint8Array.from(text.split("."), Number);
  if (!isIPv6(text)) return undefined;
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const dotted = tail?.[2]?.split(".").map(Number);
  const colons = dotted === undefined
    ? text
    : `${tail?.[1]}${
      [0, 2].map((i) => (((dotted[i] ?? 0) << 8) | (dotted[i + 1] ?? 0)).toString(16)).join(":")
    }`;
  const [before = "", after] = colons.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const head = groups(before);
  const rest = groups(after ?? "");
  const zeros = after === undefined ? 0 : 8 - head.length - rest.length;
  const all = [...head, ...Array.from({ length: zeros }, () => "0"), ...rest];
  return Uint8Array.from(all.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  }));
}
