// The rules of `signet verify`: what is wrong with sealed files, as far as it shows without a key.
// SPEC.md, "Whole repositories".

import { dirname } from "node:path";
import { LEADS_OUT } from "../../host/rootedfiles.ts";
import { decodeEnvelope, fitsCertificate } from "../../shared/keys/kinds.ts";
import { formatPlace, type SignetError } from "../../shared/errors.ts";
import { lineCounter } from "../../shared/manifest/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { sealedForOf } from "../../shared/sealing/sealedsecret.ts";
import { SEALED_FOR_ANNOTATION, STAMP_ANNOTATION } from "../../shared/sealing/stamp.ts";
import type { Project } from "../repository/projectfile.ts";
import {
  type Inventory,
  isChartTemplate,
  type SealedFile,
  type SealedObject,
  type SealedValue,
} from "../repository/sealedfiles.ts";
import { shortFingerprint } from "../terminal/counts.ts";
import type { Finding } from "./findings.ts";

const DAY_MS = 86_400_000;

/**
 * Everything that can be found without a key or a cluster. `beside`: files that are not checked,
 * but may declare the same SealedSecret.
 */
export function verifyFiles(
  { files, unreadable }: Inventory,
  project: Project | null,
  maxKeyAgeDays: number | undefined,
  now: Date,
  beside: readonly SealedFile[] = [],
): Finding[] {
  const findings = unreadable.map(unreadableFinding);
  const seen = new Map<string, string>();
  for (const object of beside.flatMap(({ objects }) => objects)) {
    const key = placeKey(object);
    if (key !== null) seen.set(key, object.file);
  }
  const objects = [...files, ...beside].flatMap((file) => file.objects);
  const hasStamps = objects.some(({ values }) => values.some(isStamped));
  for (const file of files) {
    const lineAt = lineCounter(file.text);
    for (const object of file.objects) {
      const add = adderFor(findings, object, lineAt);
      checkPlace(object, project, add);
      checkDuplicate(object, file, seen, add);
      if (hasStamps && maxKeyAgeDays === undefined) checkStamps(object, add);
      checkValues(object, maxKeyAgeDays, now, add);
    }
  }
  return findings;
}

function unreadableFinding({ place, message, cause }: SignetError): Finding {
  const { file = "", line, ...within } = place;
  const where = formatPlace(within);
  const words = where === "" ? message : `${where}: ${message}`;
  const isTemplate = isChartTemplate(file);
  return {
    rule: "unreadable",
    // Of a link that leads out, the repository has no more than the link.
    severity: isTemplate || cause === LEADS_OUT ? "warning" : "error",
    file,
    ...(line === undefined ? {} : { line }),
    message: isTemplate ? `a chart's template, of which nothing can be told: ${words}` : words,
  };
}

type Add = (
  rule: string,
  severity: Finding["severity"],
  message: string,
  path?: readonly string[],
) => void;

function adderFor(
  findings: Finding[],
  { document, path: within, file, name }: SealedObject,
  lineAt: (offset: number) => number,
): Add {
  return (rule, severity, message, path = []) => {
    const node = nodeAt(document.root, [...within, ...path]);
    const line = lineAt(node?.start ?? document.root.start);
    findings.push({ rule, severity, file, line, object: name, message });
  };
}

function checkPlace(object: SealedObject, project: Project | null, add: Add): void {
  const { meaning, sealed } = object;
  const { name, namespace } = sealed.metadata;
  if (project !== null && project.clusters.size > 0 && meaning === null) {
    add("no-cluster", "error", "no path in signet.yaml matches this file");
  }
  if (name === "") add("no-name", "error", "declares no name");
  for (const field of ["namespace", "name"] as const) {
    const expected = meaning?.[field];
    const found = field === "name" ? name : namespace;
    if (expected !== undefined && found !== "" && found !== expected) {
      const message = `its path says ${field} "${expected}", the file "${found}"`;
      add(`wrong-${field}`, "error", message, ["metadata", field]);
    }
  }
  const sealedFor = sealedForOf(sealed);
  if (sealedFor !== null && sealedFor.said !== sealedFor.needed) {
    add(
      "moved",
      "error",
      `was sealed for ${sealedFor.said}, but stands as ${sealedFor.needed}: no cluster will open it`,
      ["metadata"],
    );
  }
}

/** Unique for each SealedSecret; null where the cluster is not known. */
function placeKey({ file, sealed, meaning }: SealedObject): string | null {
  if (meaning === null) return null;
  const { name } = sealed.metadata;
  // Without a namespace in either, it depends on how the folder is applied.
  const namespace = sealed.metadata.namespace || (meaning.namespace ?? `in ${dirname(file)}`);
  return `${meaning.cluster.name} ${namespace} ${name}`;
}

function checkDuplicate(
  object: SealedObject,
  { path }: SealedFile,
  seen: Map<string, string>,
  add: Add,
): void {
  const key = placeKey(object);
  if (key === null) return;
  const first = seen.get(key);
  if (first !== undefined) add("duplicate", "error", `is declared in ${first} as well`);
  else seen.set(key, path);
}

function isStamped({ fingerprint }: SealedValue): boolean {
  return fingerprint !== undefined;
}

/**
 * Without its stamps, an object may be of another cluster or place: nothing shows it. Where none has
 * stamps, all were sealed by the original.
 */
function checkStamps({ sealed, values }: SealedObject, add: Add): void {
  if (sealed.legacyData !== undefined) return;
  const items = values.filter((value) => !isStamped(value)).map(({ item }) => item);
  if (items.length > 0) {
    const what = `${STAMP_ANNOTATION} does not say which key sealed ${items.join(", ")}`;
    add("unstamped", "warning", what, ["metadata"]);
  } else if (
    values.length > 0 &&
    sealed.metadata.annotations[SEALED_FOR_ANNOTATION] === undefined
  ) {
    const what = `has no ${SEALED_FOR_ANNOTATION}: nothing shows for which place it was sealed`;
    add("unstamped", "warning", what, ["metadata"]);
  }
}

function checkValues(
  { sealed, values, cluster, meaning }: SealedObject,
  maxKeyAgeDays: number | undefined,
  now: Date,
  add: Add,
): void {
  for (const { item, key, fingerprint, certificate } of values) {
    const path = ["spec", "encryptedData", item];
    if (sealed.legacyData === undefined) {
      const envelope = decodeEnvelope(sealed.encryptedData.get(item) ?? "");
      if (envelope === null || !fitsCertificate(envelope, certificate)) {
        add("malformed", "error", `${item}: is not a sealed value`, path);
        continue;
      }
    }
    if (key === "foreign" && meaning !== null) {
      add(
        "wrong-cluster",
        "error",
        `${item}: is sealed for another cluster than ${meaning.cluster.name}`,
        path,
      );
    } else if (key === "unknown" && fingerprint !== undefined && cluster !== null) {
      const short = shortFingerprint(fingerprint);
      // Without a certificate there is nothing to compare with.
      add(
        "unknown-key",
        cluster.current === null ? "warning" : "error",
        `${item}: its key ${short} is not in ${cluster.file}; if the key was renewed, run "signet cert refresh ${cluster.cluster.name}"`,
        path,
      );
    }
    const days =
      certificate === undefined ? 0 : (now.getTime() - certificate.notBefore.getTime()) / DAY_MS;
    if (maxKeyAgeDays !== undefined && days > maxKeyAgeDays) {
      const age = `${Math.floor(days)} days old, policy allows ${maxKeyAgeDays}`;
      add("old-key", "error", `${item}: its key is ${age}`, path);
    } else if (maxKeyAgeDays !== undefined && fingerprint === undefined) {
      add("unknown-age", "warning", `${item}: nothing tells the age of its key`, path);
    }
  }
}
