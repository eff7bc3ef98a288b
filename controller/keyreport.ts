// Reports how many values in the cluster each sealing key still protects, by the records in their status.
// SPEC.md, "Retirement of keys".

import type { Json } from "../shared/manifest/manifest.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import type { KmsProvider } from "../shared/keys/keyservice.ts";
import type { WrappedKey } from "../shared/keys/wrappedkey.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { kindsOf } from "../shared/keys/sealingkey.ts";
import type { Summary } from "./summary.ts";
import type { WrappingMode } from "./keywrapping.ts";
import { isOurs } from "./keyrecord.ts";

/** A number of values, and the number of SealedSecrets that contain them. */
interface Count {
  values: number;
  sealedSecrets: number;
}

export interface KeyUse {
  /** Counts by the fingerprint of a key that is held. A key that no value uses has no entry. */
  readonly byKey: ReadonlyMap<string, Count>;
  /**
   * Values that the controller has not opened in their present form, or whose key it no longer
   * holds.
   */
  readonly unknown: Count;
}

/** Counts values by the key that they are sealed with. */
export function keyUse(keyring: Keyring, summaries: Iterable<Summary>): KeyUse {
  const held = new Set(keyring.keys.map(({ fingerprint }) => fingerprint));
  const byKey = new Map<string, Count>();
  const unknown: Count = { values: 0, sealedSecrets: 0 };
  const add = (count: Count, values: number): void => {
    if (values === 0) return;
    count.values += values;
    count.sealedSecrets++;
  };
  for (const { values, record } of summaries) {
    let left = values;
    const isKnown = record !== null && isOurs(record, keyring);
    for (const [fingerprint, items] of isKnown ? record.under.counts : []) {
      if (!held.has(fingerprint)) continue;
      const count = byKey.get(fingerprint) ?? { values: 0, sealedSecrets: 0 };
      byKey.set(fingerprint, count);
      add(count, items);
      left -= items;
    }
    add(unknown, Math.max(0, left));
  }
  return { byKey, unknown };
}

/** How keys are stored. */
export interface WrappingReport {
  /** The controller's key service; null if it has none. */
  readonly service: { readonly provider: KmsProvider; readonly mode: WrappingMode } | null;
  /** The wrapped keys, by the names of their Secrets. */
  readonly wrapped: ReadonlyMap<string, WrappedKey>;
}

/** Formats the response of `GET /v1/keys`, newest key first. It contains nothing secret. */
export function keyReport(
  keyring: Keyring,
  summaries: Iterable<Summary>,
  { service, wrapped }: WrappingReport = { service: null, wrapped: new Map() },
): Json {
  const { byKey, unknown } = keyUse(keyring, summaries);
  const second = (moment: Date | undefined): string | null =>
    moment === undefined ? null : `${moment.toISOString().slice(0, 19)}Z`;
  return {
    keys: keyring.keys.map((key) => ({
      fingerprint: key.fingerprint,
      secret: key.name,
      state: keyring.stateOf(key),
      bits: key.certificate?.bits ?? null,
      algorithms: kindsOf(key),
      notBefore: second(key.certificate?.notBefore),
      notAfter: second(key.certificate?.notAfter),
      ...(byKey.get(key.fingerprint) ?? { values: 0, sealedSecrets: 0 }),
      ...wrappingOf(wrapped.get(key.name)),
    })),
    unknown: { ...unknown },
    ...(service === null ? {} : { kms: { ...service } }),
  };
}

/** A plain key has no such field, as in reports of earlier versions. */
function wrappingOf(wrapped: WrappedKey | undefined): JsonObject {
  if (wrapped === undefined) return {};
  const { provider, key, since } = wrapped;
  return { wrapped: { provider, key, since } };
}
