// Access to `node:crypto` without importing it, so that browser bundles need no substitute.

import type * as NodeCryptoModule from "node:crypto";

export type NodeCrypto = typeof NodeCryptoModule;

const { process } = globalThis as {
  process?: { version?: string; getBuiltinModule?: (name: "node:crypto") => NodeCrypto };
};

/** `node:crypto`, or undefined in a browser. */
export const nodeCrypto: NodeCrypto | undefined = process?.getBuiltinModule?.("node:crypto");

/** The version of Node, such as `v24.7.0`; undefined in a browser. */
export const nodeVersion: string | undefined = process?.version;
