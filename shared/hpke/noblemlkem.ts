// ML-KEM in JavaScript, for platforms without it. It does not run in constant time, so it may seal
// and open on the user's own machine, but never serve requests from others.

import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import type { MlKem768 } from "./primitives.ts";

export const nobleMlKem768: MlKem768 = {
  fromSeed: (seed) => {
    const { publicKey, secretKey } = ml_kem768.keygen(seed);
    return {
      publicKey,
      decapsulate: (ciphertext) => ml_kem768.decapsulate(ciphertext, secretKey),
    };
  },
  fromPublicKey: (publicKey) => {
    const prepared = ml_kem768.prepare(publicKey);
    return {
      encapsulate: () => {
        const { sharedSecret, cipherText } = prepared.encapsulate();
        return { sharedSecret, ciphertext: cipherText };
      },
    };
  },
};
