// The key Secrets of a cluster: which keys they hold, which are confirmed, and which one seals.
// SPEC.md, "Choosing a key".

import { locate, SignetError } from "../../../shared/errors.ts";
import {
  CONFIRMED_ANNOTATION,
  HELD_KEY_LABELS,
  KEY_LABEL,
  readKeySecret,
} from "../../../shared/keys/keyfile.ts";
import { Keyring } from "../../../shared/keys/keyring.ts";
import type { SealingKey } from "../../../shared/keys/sealingkey.ts";
import { isWrapped, readClosedKey, WRAPPED_KEY_LABEL } from "../../../shared/keys/wrappedkey.ts";
import { parseSecret, type Secret } from "../../../shared/kubernetes/secret.ts";
import { listKeySecrets } from "../../cluster/apiobjects.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import { fetchKeyReport } from "../../cluster/reportedkeys.ts";

/** A key Secret that can be read. */
export interface ClusterKey {
  readonly secret: Secret;
  readonly key: SealingKey;
}

/** The key Secrets of a cluster. */
export interface FoundKeys {
  readonly keys: readonly ClusterKey[];
  /** By the name of the Secret, why it cannot be read. */
  readonly broken: ReadonlyMap<string, SignetError>;
}

/** @throws SignetError network */
export async function readClusterKeys(options: ClusterOptions): Promise<FoundKeys> {
  const keys: ClusterKey[] = [];
  const broken = new Map<string, SignetError>();
  for (const object of await listKeySecrets(options)) {
    const secret = parseSecret(object);
    const { name } = secret.metadata;
    try {
      locate({ object: `${options.controllerNamespace}/${name}` }, () => {
        keys.push({ secret, key: readAnyKey(secret) });
      });
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      broken.set(name, error);
    }
  }
  return { keys, broken };
}

/** The value of the label; the controller also loads the Secret without a label. */
export function labelOf({ metadata }: Secret): string {
  return metadata.labels[KEY_LABEL] ?? metadata.labels[WRAPPED_KEY_LABEL] ?? "active";
}

/**
 * The key of a Secret. A wrapped key can be identified, but not opened.
 * @throws SignetError key-invalid, certificate-invalid
 */
export function readAnyKey(secret: Secret): SealingKey {
  return isWrapped(secret) ? readClosedKey(secret) : readKeySecret(secret);
}

/** The same Secret with its key confirmed, or without that. */
export function withConfirmation({ secret, key }: ClusterKey, confirmed = true): ClusterKey {
  const { [CONFIRMED_ANNOTATION]: _, ...others } = secret.metadata.annotations;
  const annotations = confirmed ? { ...others, [CONFIRMED_ANNOTATION]: key.fingerprint } : others;
  const changed = { ...secret, metadata: { ...secret.metadata, annotations } };
  return { secret: changed, key: readAnyKey(changed) };
}

/**
 * The fingerprint of the key that seals, from the controller's report, or without a controller from the
 * Secrets. Null if no key seals.
 */
export async function sealingNow(
  options: ClusterOptions,
  keys: readonly ClusterKey[],
): Promise<string | null> {
  try {
    const report = await fetchKeyReport(options);
    return report.keys.find(({ state }) => state === "sealing")?.fingerprint ?? null;
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return sealingAmong(keys);
  }
}

/** The fingerprint of the key that a controller with these key Secrets seals with. */
function sealingAmong(keys: readonly ClusterKey[]): string | null {
  const held = keys.filter(({ secret }) => HELD_KEY_LABELS.includes(labelOf(secret)));
  return new Keyring(held.map(({ key }) => key)).newest?.fingerprint ?? null;
}

/** Two lines: which key seals before and after a change. */
export function sealingWords(before: string | null, after: string | null): string[] {
  return [
    `seals now: ${before ?? "none"}`,
    `will seal: ${after === null ? "none: the controller will create a new one" : after === before ? "the same key" : after}`,
  ];
}

/**
 * Which key will seal once the Secrets in `changed` are written. `before`: the one that seals now, which
 * counts as confirmed whatever its Secret says.
 */
export function sealingAfter(
  keys: readonly ClusterKey[],
  before: string | null,
  changed: readonly ClusterKey[],
): string | null {
  const names = new Set(changed.map(({ secret }) => secret.metadata.name));
  const others = keys.filter(({ secret }) => !names.has(secret.metadata.name));
  return sealingAmong([
    ...others.map((each) => (each.key.fingerprint === before ? withConfirmation(each) : each)),
    ...changed,
  ]);
}
