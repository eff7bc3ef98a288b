// The table of the kinds of keys.
// SPEC.md, "Envelope", "Sealing keys and certificates".

import type { KeyKind } from "./keykind.ts";
import { rsaKind } from "./rsakey.ts";

/** Every kind. Order: the kind to seal with first; RSA, which claims every envelope, last. */
export const KEY_KINDS: readonly KeyKind[] = [rsaKind];
