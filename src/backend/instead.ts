/**
 * Is told of the next call of a method.
 *
 * @module
 */

type Methods = Record<string, (...args: unknown[]) => unknown>;

/**
 * Calls `around` instead of the next call of one of these methods of an object, whichever comes first.
 *
 * @param around Is given the call, and returns what the caller gets.
 */
export function instead(
  object: Methods,
  names: readonly string[],
  around: (call: () => unknown) => unknown,
): void {
  const own = names.map((name) => Object.getOwnPropertyDescriptor(object, name));
  const restore = () =>
    names.forEach((name, index) => {
      const before = own[index];
      if (before === undefined) delete object[name];
      else Object.defineProperty(object, name, before);
    });
  for (const name of names) {
    const method = object[name] as Methods[string];
    object[name] = (...args) => {
      restore();
      return around(() => method.apply(object, args));
    };
  }
}
