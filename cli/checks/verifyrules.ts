// `signet verify`: sealed files checked without any key; with --live, by the controller too.
// SPEC.md, "Whole repositories".

import { dirname, join, relative } from "node:path";
import { decodeEnvelope } from "../../shared/envelopes/rsa.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { lineCounter } from "../../shared/manifest/manifest.ts";
import { formatPlace, SignetError } from "../../shared/errors.ts";
import { sealedForOf } from "../../shared/sealing/sealedsecret.ts";
import { connectionTo, type GivenCertificate } from "../repository/clustercertificates.ts";
import { type Finding, type FindingFormat, report } from "./findings.ts";
import { MANIFEST_NAME } from "../../host/manifestfiles.ts";
import { findProject, parseDays, type Project } from "../repository/project.ts";
import { type Blob, indexBlobs, needWorkTree, readBlobs, stagedBlobs } from "../git/gitprocess.ts";
import { byCluster, type Inventory, isChartTemplate, objectsToAsk, readSealedFiles, readSealedTexts, type SealedFile, type SealedObject, type TextSource } from "../repository/sealedfiles.ts";
import { count, shortFingerprint } from "../terminal/words.ts";

export interface VerifyOptions extends GivenCertificate {
  /** Such as `90d`; in place of what signet.yaml says. */
  readonly maxKeyAge?: string;
  /** What is about to be committed, instead of the files as they lie there. */
  readonly staged: boolean;
  readonly live: boolean;
  readonly format: FindingFormat;
  readonly strict: boolean;
}

const DAY_MS = 86_400_000;

/** @throws SignetError check-found where something is wrong; io, network */
export async function runVerify(paths: readonly string[], options: VerifyOptions): Promise<void> {
  const project = findProject();
  const inventory = options.staged
    ? readSealedTexts(stagedTexts(paths), project)
    : readSealedFiles(paths, project);
  const maxAge =
    options.maxKeyAge === undefined ? project?.maxKeyAgeDays : askedAge(options.maxKeyAge);
  const beside = options.staged ? committedBeside(inventory, project) : [];
  const findings = verifyFiles(inventory, project, maxAge, new Date(), beside);
  if (options.live) findings.push(...(await verifyLive(inventory, options)));
  const wrong = new Set(findings.map(({ file }) => file));
  const objects = inventory.files.reduce((sum, file) => sum + file.objects.length, 0);
  await report(
    findings,
    {
      command: "verify",
      what: `${count(objects, "SealedSecret")} in ${count(inventory.files.length, "file")}`,
      passed: inventory.files.map(({ path }) => path).filter((path) => !wrong.has(path)),
    },
    options,
  );
}

function askedAge(text: string): number {
  try {
    return parseDays(text, "--max-key-age");
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    const hint = error.hint ?? "such as 180d";
    throw new SignetError("usage", `--max-key-age ${error.message}`, { hint });
  }
}

function stagedTexts(paths: readonly string[]): TextSource[] {
  const top = needWorkTree();
  return textSources(stagedBlobs(paths), top);
}

function textSources(blobs: readonly Blob[], top: string): TextSource[] {
  const manifests = blobs.filter(({ path }) => MANIFEST_NAME.test(path));
  const texts = readBlobs(
    manifests.map(({ id }) => id),
    top,
  );
  return manifests.map(({ id, path }) => ({
    path: relative(process.cwd(), join(top, path)),
    read: () => texts.get(id) ?? "",
  }));
}

/** Files of the index that are not about to be changed, and may declare what is. */
function committedBeside({ files }: Inventory, project: Project | null): readonly SealedFile[] {
  const names = new Set(
    files.flatMap(({ objects }) => objects.map(({ sealed }) => sealed.metadata.name)),
  );
  if (names.size === 0) return [];
  const top = needWorkTree();
  const staged = new Set(stagedBlobs([]).map(({ path }) => path));
  const others = indexBlobs(top).filter(({ path }) => !staged.has(path));
  const sources = textSources(others, top).filter(({ read }) => {
    const text = read();
    return [...names].some((name) => text.includes(name));
  });
  return readSealedTexts(sources, project).files;
}

/**
 * All that can be seen without a key or a cluster. `beside`: files that are not checked, but may
 * declare the same.
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
  for (const file of files) {
    const lineAt = lineCounter(file.text);
    for (const object of file.objects) {
      const add = adderFor(findings, object, lineAt);
      checkPlace(object, project, add);
      checkDuplicate(object, file, seen, add);
      checkValues(object, maxKeyAgeDays, now, add);
    }
  }
  return findings;
}

function unreadableFinding({ place, message }: SignetError): Finding {
  const { file = "", line, ...within } = place;
  const where = formatPlace(within);
  const words = where === "" ? message : `${where}: ${message}`;
  const isTemplate = isChartTemplate(file);
  return {
    rule: "unreadable",
    severity: isTemplate ? "warning" : "error",
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
    add("no-cluster", "error", "no path of signet.yaml fits this file");
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

/** What no two SealedSecrets may have in common; null where it is not known. */
function placeKey({ file, sealed, meaning }: SealedObject): string | null {
  if (meaning === null) return null;
  const { name } = sealed.metadata;
  // Where neither says the namespace, whoever applies the folder does.
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

/** Bytes of an RSA modulus that a sealing key may have: 1024 to 16384 bits. */
const MIN_KEY_BYTES = 128;
const MAX_KEY_BYTES = 2048;

function checkValues(
  { sealed, values, cluster, meaning }: SealedObject,
  maxKeyAgeDays: number | undefined,
  now: Date,
  add: Add,
): void {
  for (const { item, key, fingerprint = "", certificate } of values) {
    const path = ["spec", "encryptedData", item];
    if (sealed.legacyData === undefined) {
      const envelope = decodeEnvelope(sealed.encryptedData.get(item) ?? "");
      const keyBytes = envelope?.wrappedKey.length ?? 0;
      const fits =
        certificate === undefined
          ? keyBytes >= MIN_KEY_BYTES && keyBytes <= MAX_KEY_BYTES
          : keyBytes === Math.ceil(certificate.bits / 8);
      if (!fits) {
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
    } else if (key === "unknown" && cluster !== null) {
      const short = shortFingerprint(fingerprint);
      add(
        "unknown-key",
        "warning",
        `${item}: its key ${short} is none that ${cluster.file} knows`,
        path,
      );
    }
    const days =
      certificate === undefined ? 0 : (now.getTime() - certificate.notBefore.getTime()) / DAY_MS;
    if (maxKeyAgeDays !== undefined && days > maxKeyAgeDays) {
      const age = `${Math.floor(days)} days old, policy allows ${maxKeyAgeDays}`;
      add("old-key", "error", `${item}: its key is ${age}`, path);
    } else if (maxKeyAgeDays !== undefined && key === "unstamped") {
      add("unknown-age", "warning", `${item}: nothing tells the age of its key`, path);
    }
  }
}

/** The controller's word on each SealedSecret; nothing secret comes back. */
async function verifyLive(inventory: Inventory, options: VerifyOptions): Promise<Finding[]> {
  const { verifyAtController } = await import("../cluster/controllerwork.ts");
  const asked = await Promise.allSettled(
    [...byCluster(objectsToAsk(inventory, options.cluster))].map(
      async ([name, objects]): Promise<Finding[]> => {
        const connection = connectionTo(objects[0]?.meaning?.cluster, options);
        return (await verifyAtController(connection, objects)).map((object) => ({
          rule: "does-not-open",
          severity: "error",
          file: object.file,
          line: object.document.line,
          object: object.name,
          message: `the controller of ${name === "" ? "the cluster" : name} cannot open it`,
        }));
      },
    ),
  );
  const failed = asked.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return asked.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
}
