// Turns SealedSecrets, current and legacy form, into Secrets: opens all values or none.
// SPEC.md, "SealedSecrets".

import { decodeEnvelope, parseEnvelope } from "../keys/kinds.ts";
import { SignetError } from "../errors.ts";
import type { Keyring, OpenedValue } from "../keys/keyring.ts";
import { Trials } from "../keys/trials.ts";
import { labelBytes, scopeOf } from "./scope.ts";
import { type SealedSecret, sealedSecretError, stampOf } from "./sealedsecret.ts";
import { jsonObjectIn, type ObjectMeta, serverFieldsRemoved } from "../kubernetes/object.ts";
import { checkExtent } from "../kubernetes/extent.ts";
import { parseSecret, type Secret } from "../kubernetes/secret.ts";
import type { Stamp } from "./stamp.ts";

/**
 * Renders templates of `spec.template.data` by item, all of one object at once, because they share a
 * budget. Callers pass the renderer in, so that programs that never render templates need not load
 * it, and a controller can render in another thread.
 */
export type RenderTemplates = (
  templates: ReadonlyMap<string, string>,
  values: ReadonlyMap<string, Uint8Array>,
  /** The object's namespace. */
  namespace: string,
) => ReadonlyMap<string, Uint8Array> | Promise<ReadonlyMap<string, Uint8Array>>;

/** The result of unsealing. */
export interface UnsealedSecret {
  readonly secret: Secret;
  /** The key that opened each value. For the legacy form, one entry named LEGACY_ITEM. */
  readonly stamp: Stamp;
}

/**
 * Opens every value, renders the templates, and returns the Secret without an owner reference.
 * Fails if any value does not open. `acceptLegacy`: whether to open the legacy form; default: true.
 * @throws SignetError decrypt-failed, naming the items; template-failed; sealedsecret-invalid; for
 *   the legacy form, secret-invalid; or what `trials` throws
 */
export async function unseal(
  sealed: SealedSecret,
  keyring: Keyring,
  options: {
    readonly render: RenderTemplates;
    readonly acceptLegacy?: boolean;
    readonly trials?: Trials;
  },
): Promise<UnsealedSecret> {
  const { render, acceptLegacy = true, trials = new Trials() } = options;
  if (sealed.legacyData !== undefined) {
    return unsealLegacy(sealed, sealed.legacyData, keyring, acceptLegacy, trials);
  }
  const { values, stamp } = await openValues(sealed, keyring, MAX_FAILURES, trials);
  const { template, metadata } = sealed;
  const data = new Map(values);
  const templates = new Map([...template.data].filter(([item]) => !values.has(item)));
  if (templates.size > 0) {
    const context = new Map(values);
    for (const [item, source] of templates) context.set(item, new TextEncoder().encode(source));
    const rendered = await render(templates, context, metadata.namespace);
    for (const [item, bytes] of rendered) data.set(item, bytes);
  }
  return {
    secret: {
      metadata: { ...template.metadata, name: metadata.name, namespace: metadata.namespace },
      type: template.type,
      immutable: template.immutable,
      data,
    },
    stamp,
  };
}

/** The item name that stands for the single value of the legacy form, which holds all items. */
export const LEGACY_ITEM = "spec.data";

async function unsealLegacy(
  { metadata, encryptedData }: SealedSecret,
  legacyData: Uint8Array,
  keyring: Keyring,
  accept: boolean,
  trials: Trials,
): Promise<UnsealedSecret> {
  if (!accept) {
    throw new SignetError(
      "sealedsecret-invalid",
      "using deprecated 'data' field, use 'encryptedData' or flip the feature flag",
    );
  }
  if (encryptedData.size > 0) {
    throw new SignetError(
      "sealedsecret-invalid",
      "cannot use the field 'encryptedData' and the deprecated field 'data' at the same time",
    );
  }
  const { name, namespace } = metadata;
  const opened = await openLegacy(metadata, legacyData, keyring, trials);
  const object = jsonObjectIn(new TextDecoder().decode(opened.plaintext));
  if (object === null) throw sealedSecretError("does not contain a Secret", "spec.data");
  checkExtent(object);
  const secret = parseSecret({ ...object, kind: "Secret", apiVersion: "v1" });
  return {
    secret: {
      ...secret,
      metadata: {
        ...secret.metadata,
        name,
        namespace,
        rest: serverFieldsRemoved(secret.metadata.rest),
      },
    },
    stamp: new Map([[LEGACY_ITEM, opened.fingerprint]]),
  };
}

/** Opens the legacy form, which is one envelope. @throws SignetError decrypt-failed */
export async function openLegacy(
  { name, namespace, annotations }: ObjectMeta,
  legacyData: Uint8Array,
  keyring: Keyring,
  trials: Trials,
): Promise<OpenedValue> {
  const envelope = parseEnvelope(legacyData);
  const label = labelBytes(scopeOf(annotations), namespace, name);
  const opened = envelope === null ? null : await keyring.open(envelope, label, undefined, trials);
  if (opened === null) throw decryptFailed([]);
  return opened;
}

/** How many values may fail before the rest is skipped. Each failure costs a try with every key. */
export const MAX_FAILURES = 8;

/**
 * Opens the values and ignores the templates. Stops after `maxFailures` values that do not open.
 * Returns the values and the fingerprints of their keys, by item name.
 * @throws SignetError decrypt-failed, naming the items that no key opens; or what `trials` throws
 */
export async function openValues(
  sealed: SealedSecret,
  keyring: Keyring,
  maxFailures = MAX_FAILURES,
  trials = new Trials(),
): Promise<{ values: Map<string, Uint8Array>; stamp: Map<string, string> }> {
  const { name, namespace, annotations } = sealed.metadata;
  const label = labelBytes(scopeOf(annotations), namespace, name);
  const hints = stampOf(sealed);
  const opened = new Map<string, OpenedValue>();
  const failed: string[] = [];
  const waiting = sealed.encryptedData.entries();
  const work = async (): Promise<void> => {
    for (const [item, text] of waiting) {
      const envelope = decodeEnvelope(text);
      const value =
        envelope === null ? null : await keyring.open(envelope, label, hints.get(item), trials);
      if (value === null) failed.push(item);
      else opened.set(item, value);
      if (failed.length >= maxFailures) return;
    }
  };
  await Promise.all(Array.from({ length: trials.atOnce }, work));
  if (failed.length > 0) {
    throw decryptFailed(failed, opened.size + failed.length < sealed.encryptedData.size);
  }
  const values = new Map<string, Uint8Array>();
  const stamp = new Map<string, string>();
  for (const item of sealed.encryptedData.keys()) {
    const value = opened.get(item);
    if (value === undefined) continue;
    values.set(item, value.plaintext);
    stamp.set(item, value.fingerprint);
  }
  return { values, stamp };
}

/**
 * Whether the keyring opens every value, in current or legacy form. Ignores the templates.
 * @throws what `trials` throws
 */
export async function opens(
  sealed: SealedSecret,
  keyring: Keyring,
  trials = new Trials(),
): Promise<boolean> {
  try {
    if (sealed.legacyData !== undefined) {
      await openLegacy(sealed.metadata, sealed.legacyData, keyring, trials);
    }
    await openValues(sealed, keyring, 1, trials);
    return true;
  } catch (error) {
    if (error instanceof SignetError && error.code === "decrypt-failed") return false;
    throw error;
  }
}

/** The possible reasons why a value does not open; they cannot be distinguished. */
export const DECRYPT_HINT =
  "it was sealed for another cluster, name, namespace or scope, or its text is damaged";

/** The same error for every reason why values do not open. */
function decryptFailed(items: readonly string[], more = false): SignetError {
  const names = [...items].sort().concat(more ? ["others were not tried"] : []);
  const named = names.length === 0 ? "" : ` (${names.join(", ")})`;
  return new SignetError("decrypt-failed", `no key could decrypt secret${named}`, {
    hint: DECRYPT_HINT,
  });
}
