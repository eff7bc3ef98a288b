// Which sealing keys the cluster's SealedSecrets are still under, by what their status says.
// SPEC.md, "Retirement of keys".

import { asObject, type JsonObject } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { currentVerdict } from "./status.ts";
import { isStatusCurrent, sealedUnderOf } from "../shared/sealing/sealedunder.ts";

/** Values, and SealedSecrets that have any of them. */
interface Count {
  values: number;
  sealedSecrets: number;
}

export interface KeyUse {
  /** By the key's fingerprint; a key of which nothing is left has no entry. */
  readonly byKey: ReadonlyMap<string, Count>;
  /** Not opened as they stand now, so under any key. */
  readonly unknown: Count;
}

/** Counts the values of `sealedSecrets` by the key that they are under. */
export function keyUse(sealedSecrets: Iterable<JsonObject>): KeyUse {
  const byKey = new Map<string, Count>();
  const unknown: Count = { values: 0, sealedSecrets: 0 };
  const add = (count: Count, values: number): void => {
    if (values === 0) return;
    count.values += values;
    count.sealedSecrets++;
  };
  for (const sealed of sealedSecrets) {
    const spec = asObject(sealed["spec"] ?? null) ?? {};
    let left = Object.keys(asObject(spec["encryptedData"] ?? null) ?? {}).length;
    if ((spec["data"] ?? null) !== null) left++;
    if (isOpened(sealed)) {
      for (const [fingerprint, items] of Object.entries(sealedUnderOf(sealed))) {
        const count = byKey.get(fingerprint) ?? { values: 0, sealedSecrets: 0 };
        byKey.set(fingerprint, count);
        add(count, items.length);
        left -= items.length;
      }
    }
    add(unknown, Math.max(0, left));
  }
  return { byKey, unknown };
}

/** Whether the status speaks of the object as it is now, and of values that were opened. */
function isOpened(sealed: JsonObject): boolean {
  const reason = currentVerdict(sealed)?.reason ?? "Invalid";
  return (
    isStatusCurrent(sealed) && !["DecryptFailed", "TemplateFailed", "Invalid"].includes(reason)
  );
}

/** The report of `GET /v1/keys`: the newest key first; nothing in it is secret. */
export function keyReport(keyring: Keyring, sealedSecrets: Iterable<JsonObject>): Json {
  const { byKey, unknown } = keyUse(sealedSecrets);
  const second = (moment: Date | undefined): string | null =>
    moment === undefined ? null : `${moment.toISOString().slice(0, 19)}Z`;
  return {
    keys: keyring.keys.map((key) => ({
      fingerprint: key.fingerprint,
      secret: key.name,
      state: keyring.stateOf(key),
      notBefore: second(key.certificate?.notBefore),
      notAfter: second(key.certificate?.notAfter),
      ...(byKey.get(key.fingerprint) ?? { values: 0, sealedSecrets: 0 }),
    })),
    unknown: { ...unknown },
  };
}
