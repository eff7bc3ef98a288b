// Bundles the type declarations of the library's entries: one text for each entry, which needs no
// types of other packages.

import { basename } from "node:path";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";

/**
 * Returns the declarations of one entry: its exports, and the types that they refer to.
 * @throws Error if one of them comes from a package, or from Node
 */
export async function declarationsOf(entry, tsconfig) {
  // A user of the library may not have Node's types, so the declarations are made without them.
  const plugin = dts({ tsconfig, compilerOptions: { types: [] } });
  const bundle = await rollup({ input: entry, plugins: [plugin], external: /^node:/ });
  const { output } = await bundle.generate({ format: "es" });
  await bundle.close();
  const [{ code, imports }] = output;
  if (imports.length > 0) {
    throw new Error(`${basename(entry)}: its types refer to ${imports.join(", ")}`);
  }
  return code;
}
