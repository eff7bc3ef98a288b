// Access to `node:crypto` without importing it, so that browser bundles need no substitute.

import type * as NodeCryptoModule from "node:crypto";

export type NodeCrypto = typeof NodeCryptoModule;

/** `node:crypto`, or undefined in a browser. */
export const nodeCrypto: NodeCrypto | undefined = (
  globalThis as { process?: { getBuiltinModule?: (name: "node:crypto") => NodeCrypto } }
).process?.getBuiltinModule?.("node:crypto");
