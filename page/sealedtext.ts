// SealedSecrets in files that a person drops or pastes, and changes to their items. All other lines stay
// unchanged.

import { locate, SignetError } from "../shared/errors.ts";
import { sealingIn } from "../shared/keys/kinds.ts";
import { checkExtent } from "../shared/kubernetes/extent.ts";
import { objectName, placedObjectsOfKind } from "../shared/kubernetes/object.ts";
import { editManifest } from "../shared/manifest/edit.ts";
import { type ManifestDocument, parseManifests } from "../shared/manifest/manifest.ts";
import { editsBetween } from "../shared/sealing/manifestedits.ts";
import { changeItems, type ItemChanges } from "../shared/sealing/seal.ts";
import {
  API_VERSION,
  KIND,
  parseSealedSecret,
  type SealedSecret,
  stampOf,
} from "../shared/sealing/sealedsecret.ts";
import { checkUsable, type KnownCluster } from "./certificates.ts";
import { checkItemName } from "./itemvalues.ts";
import type { SealedResult } from "./sealedresult.ts";

/** More than etcd accepts for one object, with room for its other fields and for other objects. */
const MAX_CHARACTERS = 4 * 1024 * 1024;
const MAX_OBJECTS = 500;

/** A SealedSecret in a file. */
export interface SealedPlace {
  readonly file: string;
  readonly text: string;
  readonly document: ManifestDocument;
  readonly path: readonly string[];
  readonly sealed: SealedSecret;
  /** `NAMESPACE/NAME`, or the name alone. */
  readonly name: string;
}

/**
 * Returns the SealedSecrets in a file's text.
 * @throws SignetError manifest-syntax, manifest-ambiguous, sealedsecret-invalid; wrong-kind if there
 *   is none
 */
export function sealedSecretsIn(file: string, text: string): SealedPlace[] {
  return locate({ file }, () => {
    if (text.length > MAX_CHARACTERS)
      throw new SignetError("manifest-syntax", "the file is too large");
    const places = parseManifests(text).flatMap((document) => {
      checkExtent(document.value);
      return placedObjectsOfKind(document, { kind: KIND, apiVersion: API_VERSION }).map(
        ({ object, path }): SealedPlace => {
          const sealed = parseSealedSecret(object);
          return { file, text, document, path, sealed, name: objectName(sealed.metadata) };
        },
      );
    });
    if (places.length === 0) throw new SignetError("wrong-kind", "holds no SealedSecret");
    if (places.length > MAX_OBJECTS) {
      throw new SignetError("wrong-kind", `holds more than ${MAX_OBJECTS} SealedSecrets`);
    }
    return places;
  });
}

/** Returns the cluster whose key sealed the values, according to the file; null if unknown. */
export function clusterOf(
  { sealed }: SealedPlace,
  clusters: readonly KnownCluster[],
): KnownCluster | null {
  const stamped = new Set(stampOf(sealed).values());
  const fitting = clusters.filter(({ fingerprints }) =>
    [...stamped].some((fingerprint) => fingerprints.has(fingerprint)),
  );
  return fitting.length === 1 ? (fitting[0] ?? null) : null;
}

/**
 * Changes items of one SealedSecret. `cluster`: the one to seal new values for; null if there are no
 * new values.
 * @throws SignetError usage if nothing would change or the cluster is missing; secret-invalid,
 *   certificate-expired, manifest-ambiguous
 */
export async function changedText(
  place: SealedPlace,
  changes: ItemChanges,
  cluster: KnownCluster | null,
  now: Date,
  algorithm?: string,
): Promise<SealedResult> {
  const {
    set = new Map<string, Uint8Array>(),
    unset = [],
    rename = new Map<string, string>(),
  } = changes;
  if (set.size + unset.length + rename.size === 0) {
    throw new SignetError("usage", "nothing to change: set, rename or remove an item");
  }
  for (const name of rename.values()) checkItemName(name);
  if (set.size > 0 && cluster === null) {
    throw new SignetError("usage", `choose the cluster that ${place.file} is for`);
  }
  if (cluster !== null && set.size > 0) checkUsable(cluster, now);
  const certificate =
    cluster === null
      ? null
      : sealingIn(cluster.certificate, algorithm ?? cluster.certificate.kinds[0] ?? "");
  const sealed = await changeItems(place.sealed, changes, certificate);
  if (sealed.encryptedData.size === 0 && sealed.template.data.size === 0) {
    throw new SignetError("secret-invalid", "no items would be left: keep one, or delete the file");
  }
  const text = editManifest(
    place.text,
    place.document,
    editsBetween(place.sealed, sealed, place.path),
  );
  return {
    cluster: set.size === 0 ? "" : (cluster?.name ?? ""),
    fileName: place.file,
    fingerprint: set.size === 0 ? undefined : cluster?.certificate.fingerprint,
    text,
    summary: `${changedLines(place.text, text)}, all others kept`,
  };
}

/** How many lines differ, such as `2 lines changed`. */
function changedLines(before: string, after: string): string {
  const left = new Map<string, number>();
  for (const line of before.split("\n")) left.set(line, (left.get(line) ?? 0) + 1);
  let added = 0;
  for (const line of after.split("\n")) {
    const count = left.get(line) ?? 0;
    if (count === 0) added++;
    else left.set(line, count - 1);
  }
  const removed = [...left.values()].reduce((sum, count) => sum + count, 0);
  const count = Math.max(added, removed);
  return `${count} ${count === 1 ? "line" : "lines"} changed`;
}
