// Seals Secrets, changes items of SealedSecrets, and re-seals values with another key.
// SPEC.md, "SealedSecrets".

import type { Certificate } from "../keys/keykind.ts";
import {
  decodeEnvelope,
  parseEnvelope,
  sealingIn,
  sealToBytes,
  sealToText,
} from "../keys/kinds.ts";
import { SignetError } from "../errors.ts";
import { DELIVER_TO_ANNOTATION, deliveryFault } from "./delivery.ts";
import type { Keyring } from "../keys/keyring.ts";
import {
  type Annotations,
  bindsNamespace,
  labelBytes,
  type Scope,
  scopeAnnotations,
  scopeFault,
  scopeOf,
  SCOPES,
  SELECTOR_ANNOTATION,
  selectorIn,
  selectorScope,
  withScope,
} from "./scope.ts";
import { type SealedSecret, sealedSecretError, stampOf } from "./sealedsecret.ts";
import { isItemName, type Secret } from "../kubernetes/secret.ts";
import { quotesObject, serverFieldsRemoved } from "../kubernetes/object.ts";
import { formatSealedFor, SEALED_FOR_ANNOTATION, withSealedFor, withStamp } from "./stamp.ts";
import { Trials } from "../keys/trials.ts";
import { MAX_FAILURES, openLegacy, openValues } from "./unseal.ts";

/**
 * Returns the scope that the annotations of a Secret set, with a selector in its canonical spelling.
 * @throws SignetError secret-invalid if they set none that can be used
 */
export function declaredScope(annotations: Annotations): Scope {
  const fault = scopeFault(annotations, "any");
  if (fault === null) return canonicalScope(scopeOf(annotations));
  const field = `metadata.annotations.${SELECTOR_ANNOTATION}`;
  throw new SignetError("secret-invalid", fault, { place: { field } });
}

/** @throws SignetError secret-invalid if a selector cannot be used; Error if there is no such scope */
function canonicalScope(scope: Scope): Scope {
  const selector = selectorIn(scope);
  if (selector !== null) return selectorScope(selector);
  if (SCOPES.some((each) => each === scope)) return scope;
  throw new Error(`there is no scope "${scope}"`);
}

/**
 * Seals a Secret. `scope`: overrides the scope that the Secret's annotations set.
 * @throws SignetError secret-invalid if the Secret has no name, no namespace although its scope
 *   requires one, annotations that set no usable scope, or one that asks for impossible deliveries
 */
export async function seal(
  secret: Secret,
  certificate: Certificate,
  scope: Scope = declaredScope(secret.metadata.annotations),
): Promise<SealedSecret> {
  return sealIn(canonicalScope(scope), secret, certificate);
}

async function sealIn(
  scope: Scope,
  secret: Secret,
  certificate: Certificate,
): Promise<SealedSecret> {
  const { name, namespace, labels, annotations, rest } = secret.metadata;
  if (name === "") {
    throw new SignetError("secret-invalid", "missing metadata.name in input Secret");
  }
  if (namespace === "" && bindsNamespace(scope)) {
    throw new SignetError("secret-invalid", "secret must declare a namespace", {
      hint: "set metadata.namespace in the manifest, or use --namespace",
    });
  }
  const { [DELIVER_TO_ANNOTATION]: deliverTo, ...others } = annotations;
  const asked = deliverTo === undefined ? {} : { [DELIVER_TO_ANNOTATION]: deliverTo };
  checkDelivery({ ...scopeAnnotations(scope), ...asked });
  const label = labelBytes(scope, namespace, name);
  const items = [...secret.data].sort(([a], [b]) => (a < b ? -1 : 1));
  const sealedItems = await Promise.all(
    items.map(
      async ([item, value]) => [item, await sealToText(certificate, value, label)] as const,
    ),
  );
  const stamp = new Map(items.map(([item]) => [item, certificate.fingerprint]));
  return {
    metadata: {
      name,
      namespace,
      labels: {},
      annotations: withStamp(
        {
          ...scopeAnnotations(scope),
          ...asked,
          [SEALED_FOR_ANNOTATION]: formatSealedFor(scope, label),
        },
        stamp,
      ),
      rest: {},
    },
    encryptedData: new Map(sealedItems),
    template: {
      metadata: {
        name,
        namespace,
        labels,
        annotations: quotesRemoved(withScope(others, scope)),
        rest: serverFieldsRemoved(rest),
      },
      type: secret.type,
      immutable: secret.immutable,
      data: new Map(),
    },
    legacyData: undefined,
  };
}

/** @throws SignetError secret-invalid if annotations ask for deliveries that no controller can make */
function checkDelivery(annotations: Annotations): void {
  const fault = deliveryFault(annotations);
  if (fault === null) return;
  const field = `metadata.annotations.${DELIVER_TO_ANNOTATION}`;
  throw new SignetError("secret-invalid", fault, { place: { field } });
}

/** Changes to the items of a SealedSecret. Each item must appear in at most one change. */
export interface ItemChanges {
  /** Values by item name, to add or to replace. */
  readonly set?: ReadonlyMap<string, Uint8Array>;
  /** Names of items to remove. */
  readonly unset?: readonly string[];
  /** New names by old names. The ciphertext stays, because it is not bound to the item's name. */
  readonly rename?: ReadonlyMap<string, string>;
}

/**
 * Checks that the manifest of a SealedSecret states everything that its scope binds a new value to.
 * `kubectl apply` can supply a missing namespace, and a value sealed without it would never open.
 * @throws SignetError secret-invalid if the name or namespace is missing but the scope requires it
 */
export function checkPlace({ metadata }: SealedSecret): void {
  const scope = scopeOf(metadata.annotations);
  if (!bindsNamespace(scope)) return;
  const needed = scope === "strict" ? (["namespace", "name"] as const) : (["namespace"] as const);
  const field = needed.find((each) => metadata[each] === "");
  if (field === undefined) return;
  throw new SignetError("secret-invalid", `has no ${field}, to which the values are bound`, {
    hint: `set metadata.${field} in the file, or use --${field} with \`signet set\` or \`signet seal --merge-into\``,
    place: { field: `metadata.${field}` },
  });
}

/**
 * Returns a copy of a SealedSecret with some items changed. Every other value keeps its ciphertext.
 * `certificate`: required if `set` is not empty.
 * @throws SignetError secret-invalid if an item does not exist, a new name is already in use or
 *   invalid, or `checkPlace` fails; sealedsecret-invalid for the legacy form
 */
export async function changeItems(
  sealed: SealedSecret,
  { set = new Map(), unset = [], rename = new Map() }: ItemChanges,
  certificate: Certificate | null,
): Promise<SealedSecret> {
  if (sealed.legacyData !== undefined) {
    throw sealedSecretError(
      "the deprecated format does not store values by name: re-seal it",
      "spec.data",
    );
  }
  const { name, namespace, annotations } = sealed.metadata;
  const before = sealed.encryptedData;
  for (const item of [...unset, ...rename.keys()]) {
    if (!before.has(item)) throw itemError("not found", item);
  }
  const encryptedData = new Map<string, string>();
  const known = stampOf(sealed);
  const stamp = new Map<string, string>();
  for (const [item, text] of before) {
    if (unset.includes(item)) continue;
    const newName = rename.get(item) ?? item;
    if (encryptedData.has(newName)) throw itemError("already exists", newName);
    encryptedData.set(newName, text);
    const fingerprint = known.get(item);
    if (fingerprint !== undefined) stamp.set(newName, fingerprint);
  }
  if (set.size > 0) checkPlace(sealed);
  const scope = scopeOf(annotations);
  const label = labelBytes(scope, namespace, name);
  for (const [item, value] of set) {
    if (certificate === null) throw new Error("values cannot be sealed without a certificate");
    if (!isItemName(item)) throw itemError("not a valid item name", item);
    encryptedData.set(item, await sealToText(certificate, value, label));
    stamp.set(item, certificate.fingerprint);
  }
  // If every value is new, none remains that was sealed for the file's previous place.
  const isAllNew = set.size > 0 && set.size === encryptedData.size;
  const said = isAllNew ? withSealedFor(annotations, formatSealedFor(scope, label)) : annotations;
  return {
    ...sealed,
    metadata: {
      ...sealed.metadata,
      annotations: withStamp(said, stamp, encryptedData.keys()),
    },
    encryptedData,
  };
}

function itemError(reason: string, item: string): SignetError {
  const field = `spec.encryptedData.${item}`;
  return new SignetError("secret-invalid", reason, { place: { field } });
}

/** The header in which a request to re-seal names the algorithm. The original ignores it. */
export const ALGORITHM_HEADER = "kube-signet-algorithm";

/**
 * Returns a copy of a SealedSecret in which every value is sealed with `certificate`, by default
 * that of the current sealing key. Values that were already sealed with it keep their ciphertext.
 * Does not change the name, namespace, scope or template, and does not render templates.
 * `algorithm`: the kind of envelope that every value gets; by default, each keeps its kind if the
 * certificate has a key of that kind.
 * @throws SignetError decrypt-failed; key-invalid if there is no certificate; certificate-invalid
 *   if it has no key of the kind `algorithm`; or what `trials` throws
 */
export async function reseal(
  sealed: SealedSecret,
  keyring: Keyring,
  maxFailures = MAX_FAILURES,
  certificate = keyring.newest?.certificate,
  trials = new Trials(),
  algorithm?: string,
): Promise<SealedSecret> {
  if (certificate === undefined) {
    throw new SignetError("key-invalid", "no loaded key has a certificate");
  }
  const { fingerprint, kinds } = certificate;
  /** The certificate for a value whose envelope is of the kind `before`; null if it may stay. */
  const nextFor = (before: string, under: string | undefined): Certificate | null => {
    const kind = algorithm ?? (kinds.includes(before) ? before : undefined);
    const next = kind === undefined ? certificate : sealingIn(certificate, kind);
    return under === fingerprint && next.kinds[0] === before ? null : next;
  };
  const { name, namespace, annotations } = sealed.metadata;
  const label = labelBytes(scopeOf(annotations), namespace, name);
  if (sealed.legacyData !== undefined) {
    const opened = await openLegacy(sealed.metadata, sealed.legacyData, keyring, trials);
    const before = parseEnvelope(sealed.legacyData)?.kind ?? "";
    const next = nextFor(before, opened.fingerprint);
    if (next === null) return sealed;
    const legacyData = await sealToBytes(next, opened.plaintext, label);
    return { ...sealed, legacyData };
  }
  const { values, stamp } = await openValues(sealed, keyring, maxFailures, trials);
  const encryptedData = new Map(sealed.encryptedData);
  for (const [item, value] of values) {
    const before = decodeEnvelope(sealed.encryptedData.get(item) ?? "")?.kind ?? "";
    const next = nextFor(before, stamp.get(item));
    if (next === null) continue;
    encryptedData.set(item, await sealToText(next, value, label));
    stamp.set(item, fingerprint);
  }
  return {
    ...sealed,
    metadata: { ...sealed.metadata, annotations: withStamp(annotations, stamp) },
    encryptedData,
  };
}

function quotesRemoved(annotations: Record<string, string>): Record<string, string> {
  const kept = Object.entries(annotations).filter(([name]) => !quotesObject(name));
  return Object.fromEntries(kept);
}
