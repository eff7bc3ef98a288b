// Reports how many values in the cluster each sealing key still protects, based on their status.
// SPEC.md, "Retirement of keys".

import { asObject, type JsonObject } from "../shared/kubernetes/object.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { currentVerdict } from "./status.ts";
import { isStatusCurrent, sealedUnderOf } from "../shared/sealing/sealedunder.ts";

/** A number of values, and the number of SealedSecrets that contain them. */
interface Count {
  values: number;
  sealedSecrets: number;
}

export interface KeyUse {
  /** Counts by key fingerprint. A key that no value uses has no entry. */
  readonly byKey: ReadonlyMap<string, Count>;
  /** Values whose current version the controller has not opened, so they may use any key. */
  readonly unknown: Count;
}

/** Counts the values of `sealedSecrets` by the key that they are sealed with. */
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

/** Whether the status is up to date and says that the values were opened. */
function isOpened(sealed: JsonObject): boolean {
  const reason = currentVerdict(sealed)?.reason ?? "Invalid";
  return (
    isStatusCurrent(sealed) && !["DecryptFailed", "TemplateFailed", "Invalid"].includes(reason)
  );
}

/** Formats the response of `GET /v1/keys`, newest key first. It contains nothing secret. */
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
