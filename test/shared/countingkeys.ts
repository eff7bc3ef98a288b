// Keys without RSA, which count how often one is tried, and values under each of them.
import { encodeBase64 } from "../../shared/base64.ts";
import { RSA, type RsaEnvelope } from "../../shared/envelopes/rsa.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { testKey } from "../vectors/fixtures.ts";

export interface CountingKeys {
  readonly keys: SealingKey[];
  readonly keyring: Keyring;
  readonly count: () => number;
  /** Called with each operation, which ends when it does. */
  onTrial: () => Promise<void>;
}

/** As many keys; the first is the newest, and seals with the certificate of the test key "first". */
export function countingKeys(many: number): CountingKeys {
  let count = 0;
  const all: CountingKeys = {
    keys: Array.from({ length: many }, (_, index) => keyOf(index)),
    keyring: new Keyring(),
    count: () => count,
    onTrial: () => Promise.resolve(),
  };
  function keyOf(index: number): SealingKey {
    const open = async ({ ciphertext }: RsaEnvelope): Promise<Uint8Array | null> => {
      count++;
      await all.onTrial();
      return ciphertext[0] === index ? new TextEncoder().encode("plain") : null;
    };
    return {
      ...testKey("first"),
      name: `key-${index}`,
      fingerprint: index === 0 ? testKey("first").fingerprint : `SHA256:${index}`,
      certificate: index === 0 ? testKey("first").certificate : null,
      halves: [
        {
          kind: RSA,
          couldOpen: () => true,
          couldBelongTo: () => true,
          open: (value) => open(value as RsaEnvelope),
        },
      ],
      orderedAt: new Date(Date.UTC(2026, 0, 1) - index * 86_400_000),
    };
  }
  all.keyring.replace(all.keys);
  return all;
}

/** A SealedSecret with this many values; `keyOf`: the index of each value's key. */
export function valuesUnder(
  many: number,
  keyOf: (index: number) => number,
  metadata: JsonObject = { name: "db", namespace: "demo" },
): JsonObject {
  const encryptedData: Record<string, string> = {};
  for (let index = 0; index < many; index++) {
    const bytes = new Uint8Array(2 + 17);
    bytes[2] = keyOf(index);
    encryptedData[`v${index}`] = encodeBase64(bytes);
  }
  return {
    apiVersion: "bitnami.com/v1alpha1",
    kind: "SealedSecret",
    metadata,
    spec: { encryptedData },
  };
}
