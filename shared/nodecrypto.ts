// Node's own crypto, where there is a Node: not imported, so that a browser's bundle needs no stand-in.

import type * as NodeCryptoModule from "node:crypto";

export type NodeCrypto = typeof NodeCryptoModule;

/** `node:crypto`, or undefined in a browser. */
export const nodeCrypto: NodeCrypto | undefined = (
  globalThis as { process?: { getBuiltinModule?: (name: "node:crypto") => NodeCrypto } }
).process?.getBuiltinModule?.("node:crypto");
