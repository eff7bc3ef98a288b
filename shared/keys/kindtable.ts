// The table of supported kinds of keys.
// SPEC.md, "Envelope", "Sealing keys and certificates".

import { hybridKind } from "./hybridkey.ts";
import type { KeyKind } from "./keykind.ts";
import { rsaKind } from "./rsakey.ts";

/** Every kind, the preferred one for sealing first. RSA is last, because it claims any envelope. */
export const KEY_KINDS: readonly KeyKind[] = [hybridKind, rsaKind];
