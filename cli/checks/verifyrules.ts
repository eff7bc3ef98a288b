// The rules of `signet verify`: what is wrong with sealed files, as far as it shows without a key.
// SPEC.md, "Whole repositories".

import { dirname, relative } from "node:path";
import { LEADS_OUT } from "../../host/rootedfiles.ts";
import { asObject } from "../../shared/kubernetes/object.ts";
import { fitsCertificate } from "../../shared/keys/kinds.ts";
import { formatPlace, type SignetError } from "../../shared/errors.ts";
import { lineCounter } from "../../shared/manifest/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { DELIVER_TO_ANNOTATION, deliveryFault } from "../../shared/sealing/delivery.ts";
import { sealedForOf } from "../../shared/sealing/sealedsecret.ts";
import { SEALED_FOR_ANNOTATION, STAMP_ANNOTATION } from "../../shared/sealing/stamp.ts";
import { envelopeOf } from "../repository/envelopes.ts";
import type { Project } from "../repository/projectfile.ts";
import {
  type Inventory,
  isChartTemplate,
  type SealedFile,
  type SealedObject,
  type SealedValue,
  writtenObject,
} from "../repository/sealedfiles.ts";
import { shortFingerprint } from "../terminal/counts.ts";
import type { Finding } from "./findings.ts";
import { Kustomized, placed } from "./kustomizeplaces.ts";
import type { Rule } from "./rules.ts";

const DAY_MS = 86_400_000;

/** Files that are not checked, but may declare the same SealedSecrets, patch or rename them. */
export type Beside = Pick<Inventory, "files" | "kustomizations">;

/** Everything that can be found without a key or a cluster. */
export function verifyFiles(
  { files, unreadable, kustomizations }: Inventory,
  project: Project | null,
  maxKeyAgeDays: number | undefined,
  now: Date,
  beside: Beside = { files: [], kustomizations: [] },
): Finding[] {
  const findings = unreadable.map(unreadableFinding);
  const seen = new Map<string, string>();
  const kustomized = new Kustomized(
    [...files, ...beside.files],
    [...kustomizations, ...beside.kustomizations],
  );
  findings.push(...[...kustomized.unfollowed].map(unfollowedFinding));
  for (const object of beside.files.flatMap(({ objects }) => objects)) {
    const key = placeKey(object);
    if (key !== null && !kustomized.isPatch(object.file)) seen.set(key, object.file);
  }
  const objects = [...files, ...beside.files].flatMap((file) => file.objects);
  const hasStamps = objects.some(({ values }) => values.some(isStamped));
  for (const file of files) {
    const lineAt = lineCounter(file.text);
    for (const object of file.objects) {
      const add = adderFor(findings, object, lineAt);
      checkPlace(object, project, add);
      checkMoved(object, kustomized, add);
      checkFields(object, add);
      if (!kustomized.isPatch(file.path)) {
        checkDuplicate(object, file, seen, add);
        checkItems(object, add);
        checkDelivery(object, add);
      }
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
    message: isTemplate ? `${ofTemplate}: ${words}` : words,
  };
}

function unfollowedFinding(file: string): Finding {
  const message =
    "includes too many Kustomizations, or nests them too deeply: the names and namespaces of what it includes were not checked";
  return { rule: "not-followed", severity: "error", file: relative(process.cwd(), file), message };
}

const ofTemplate = "a chart's template, which cannot be checked";

/** Whether a chart's template takes a value from elsewhere. */
function isFilledIn(file: string, value: string): boolean {
  return value.includes("{{") && isChartTemplate(file);
}

type Add = (
  rule: Rule,
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
      const message = `its path says ${field} "${expected}", but the file says "${found}"`;
      add(`wrong-${field}`, "error", message, ["metadata", field]);
    }
  }
}

/** Where a Kustomization renames it or gives it a namespace, that is where it must open. */
function checkMoved({ file, sealed }: SealedObject, kustomized: Kustomized, add: Add): void {
  const moved = (said: string, needed: string, by = "is declared as"): void => {
    const message = `was sealed for ${said}, but ${by} ${needed}: no cluster will open it`;
    add("moved", "error", message, ["metadata"]);
  };
  const placements = kustomized.placementsOf(file, sealed);
  if (placements.length === 0) {
    const { said, needed } = sealedForOf(sealed) ?? {};
    if (said !== undefined && needed !== undefined && said !== needed) moved(said, needed);
    return;
  }
  const told = new Set<string>();
  for (const placement of placements) {
    const sealedFor = sealedForOf(placed(sealed, placement));
    if (sealedFor === null || sealedFor.said === sealedFor.needed) continue;
    const isAsWritten = sealedFor.needed === sealedForOf(sealed)?.needed;
    const by = isAsWritten ? undefined : `${placement.by} makes it`;
    const key = `${by} ${sealedFor.needed}`;
    if (!told.has(key)) moved(sealedFor.said, sealedFor.needed, by);
    told.add(key);
  }
}

/** What a SealedSecret has. The names of other fields may tell that they are meant for people. */
const OBJECT_FIELDS = /^(apiVersion|kind|metadata|spec|status|[.$].*|x-.*)$/;
const SPEC_FIELDS = /^(encryptedData|template|data|[.$].*|x-.*)$/;

function checkFields(object: SealedObject, add: Add): void {
  const written = writtenObject(object);
  const spec = asObject(written["spec"] ?? null) ?? {};
  const others = [
    ...Object.keys(written).filter((field) => !OBJECT_FIELDS.test(field)),
    ...Object.keys(spec)
      .filter((field) => !SPEC_FIELDS.test(field))
      .map((field) => `spec.${field}`),
  ];
  for (const field of others) {
    const path = field.startsWith("spec.") ? ["spec", field.slice(5)] : [field];
    add("dropped-field", "warning", `${field}: controllers ignore this field`, path);
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
  if (first !== undefined) add("duplicate", "error", `is already declared in ${first}`);
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
    const what = `has no ${SEALED_FOR_ANNOTATION}: the place that it was sealed for is unknown`;
    add("unstamped", "warning", what, ["metadata"]);
  }
}

/** An empty Secret is valid, but seldom what was meant. */
function checkItems({ sealed, values }: SealedObject, add: Add): void {
  if (values.length === 0 && sealed.template.data.size === 0) {
    add("no-items", "warning", "has no items, so its Secret will be empty", ["spec"]);
  }
}

/** What asks for deliveries that no controller can make. */
function checkDelivery({ file, sealed }: SealedObject, add: Add): void {
  const { annotations } = sealed.metadata;
  if (isFilledIn(file, annotations[DELIVER_TO_ANNOTATION] ?? "")) return;
  const fault = deliveryFault(annotations);
  if (fault === null) return;
  const path = ["metadata", "annotations", DELIVER_TO_ANNOTATION];
  add("not-delivered", "error", `${DELIVER_TO_ANNOTATION}: ${fault}`, path);
}

function checkValues(
  { file, sealed, values, cluster, meaning }: SealedObject,
  maxKeyAgeDays: number | undefined,
  now: Date,
  add: Add,
): void {
  for (const { item, key, fingerprint, certificate } of values) {
    const isLegacy = sealed.legacyData !== undefined;
    const path = isLegacy ? ["spec", "data"] : ["spec", "encryptedData", item];
    if (isFilledIn(file, sealed.encryptedData.get(item) ?? "")) {
      add("unreadable", "warning", `${ofTemplate}: ${item} is filled in later`, path);
      continue;
    }
    const envelope = envelopeOf(sealed, item);
    if (envelope === null || !fitsCertificate(envelope, certificate)) {
      const what = isLegacy ? "spec.data" : item;
      add("malformed", "error", `${what}: is not a sealed value`, path);
      continue;
    }
    if (key === "foreign" && meaning !== null) {
      add(
        "wrong-cluster",
        "error",
        `${item}: is sealed for a cluster other than ${meaning.cluster.name}`,
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
      const age = `${Math.floor(days)} days old, but the policy allows ${maxKeyAgeDays}`;
      add("old-key", "error", `${item}: its key is ${age}`, path);
    } else if (maxKeyAgeDays !== undefined && fingerprint === undefined) {
      add("unknown-age", "warning", `${item}: the age of its key is unknown`, path);
    }
  }
}
