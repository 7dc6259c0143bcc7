/**
 * Draws specifications with vega-lite and vega, which need no browser.
 *
 * @module
 */

import type { Specification } from "./plots.ts";

// Only what is used of them: without the packages everything but drawing works, type checks included.
interface Vega {
  parse(specification: unknown): unknown;
  View: new (runtime: unknown, options: { renderer: "none" }) => {
    toSVG(): Promise<string>;
    finalize(): void;
  };
}
interface VegaLite {
  compile(specification: Specification): { readonly spec: unknown };
}

/** Draws one plot. @returns The SVG document, or `undefined` when the packages are not installed. */
export async function draw(specification: Specification): Promise<string | undefined> {
  const [lite, vega] = await Promise.all([load("vega-lite"), load("vega")]) as [
    VegaLite | undefined,
    Vega | undefined,
  ];
  if (lite === undefined || vega === undefined) return undefined;
  const view = new vega.View(vega.parse(lite.compile(specification).spec), { renderer: "none" });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

async function load(name: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
