/**
 * The version of this package, for `--version`; `npm run check` compares it with deno.json and package.json.
 *
 * @module
 */

/** As in deno.json. */
export const VERSION = "0.1.0";
