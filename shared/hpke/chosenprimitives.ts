// Chooses the primitives: those of node:crypto, or of libraries for what the platform lacks.
// SPEC.md, "Hybrid envelopes".

import { nodeCrypto } from "../nodecrypto.ts";
import { hasMlKem, nodePrimitives } from "./nodeprimitives.ts";
import type { Primitives } from "./primitives.ts";

let native: { readonly primitives: Primitives | undefined } | undefined;

/**
 * Returns the primitives if all come from node:crypto, and so run in constant time; otherwise
 * undefined.
 */
export function nativePrimitives(): Primitives | undefined {
  const crypto = nodeCrypto;
  native ??= {
    primitives: crypto !== undefined && hasMlKem(crypto) ? nodePrimitives(crypto) : undefined,
  };
  return native.primitives;
}

let loaded: Promise<Primitives> | undefined;

/** Returns the primitives. Loads libraries for what the platform lacks. */
export function loadPrimitives(): Promise<Primitives> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Primitives> {
  const primitives = nativePrimitives();
  if (primitives !== undefined) return primitives;
  if (nodeCrypto === undefined) {
    const { browserPrimitives } = await import("./browserprimitives.ts");
    return browserPrimitives;
  }
  const { nobleMlKem768 } = await import("./noblemlkem.ts");
  return nodePrimitives(nodeCrypto, nobleMlKem768);
}
