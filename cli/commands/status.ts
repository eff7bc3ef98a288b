// `signet status`: every sealed file with its cluster and keys, what is stale or misplaced, and
// which old keys are safe to delete.
// SPEC.md, "Whole repositories".

import type { Command } from "commander";
import { clusterOption, type Connected, connection, flag, jsonOption, withConnection } from "../options.ts";
import { formatPlace, locateAsync, SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject, metadataOf, objectsIn } from "../../shared/kubernetes/object.ts";
import { daysLeft } from "../cluster/certificatesource.ts";
import { type GivenCertificate, projectClusterOptions } from "../repository/clustercertificates.ts";
import { blockersAmong, keyUse, type KeyUse } from "../repository/keyusage.ts";
import { appliedIn, itemsOf } from "../git/sealedtext.ts";
import { countWords, fetchKeyReport, type KeyReport, type ReportedKey } from "./keys/list.ts";
import { clusterNamed, findProject, needProject, type Project, type ProjectCluster } from "../repository/project.ts";
import { type Inventory, isChartTemplate, readSealedFiles, type SealedObject, type SealedValue } from "../repository/sealedfiles.ts";
import { count } from "../terminal/words.ts";
import { printJson, printLines } from "../terminal/results.ts";
import { statusLines } from "./statustext.ts";
import { verifyFiles } from "../checks/verifyrules.ts";

const HELP = `
Which key a value is under is told by the stamp that sealing leaves in an annotation, by the
repository's certificates, and with --live by each cluster's controller. States: current, stale (under
an older key), unknown (no stamp, or no cluster to compare with), wrong (something is to be mended,
told below the table).

At the end stand each cluster's keys: whether one is safe to retire, or what still needs it.
Exit status: 0 where nothing is to be done, else 3.

Examples:
  $ signet status
  $ signet status --live --cluster prod
  $ signet status --json | jq -r '.sealedSecrets[] | select(.state == "stale") | .file'`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Shows every sealed file: its cluster, scope and keys, and what is stale.")
      .addOption(flag("--live", "ask the clusters as well"))
      .addOption(clusterOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<StatusOptions>) =>
      runStatus(paths, connection(flags)),
    );
}

export interface StatusOptions extends GivenCertificate {
  /** Asks the clusters as well. */
  readonly live: boolean;
  readonly json: boolean;
}

const DAY_MS = 86_400_000;

/** What a cluster says, where it was asked. */
interface LiveCluster {
  readonly report: KeyReport;
  /** By `NAMESPACE/NAME`. */
  readonly sealedSecrets: ReadonlyMap<string, JsonObject>;
}

/** @throws SignetError check-found where something is to be done; io, network */
export async function runStatus(paths: readonly string[], options: StatusOptions): Promise<void> {
  const { cluster: only } = options;
  const project = only === undefined ? findProject() : needProject();
  if (only !== undefined && project !== null) clusterNamed(project, only);
  const now = new Date();
  let inventory = readSealedFiles(paths, project);
  const live = new Map<string, LiveCluster>();
  if (options.live) {
    const wanted = [...(project?.clusters.values() ?? [])].filter(
      ({ name }) => only === undefined || only === name,
    );
    if (wanted.length === 0) {
      throw new SignetError(
        "usage",
        "--live asks the clusters of signet.yaml, and there are none",
        {
          hint: "`signet init` names them",
        },
      );
    }
    for (const cluster of wanted) live.set(cluster.name, await askCluster(cluster, options));
    inventory = withLiveKeys(inventory, live);
  }
  // Whether a key is still needed is told by every file, not by those that are asked about.
  const all = paths.length === 0 ? inventory : withLiveKeys(readSealedFiles([], project), live);
  const objects = inventory.files
    .flatMap((file) => file.objects)
    .filter(({ meaning }) => only === undefined || meaning?.cluster.name === only);
  const problems = problemsByObject(inventory, project, now);
  const facts = objects.map((object) =>
    factsOf(object, problems.get(keyOf(object)) ?? [], live, now),
  );
  const names = [...(project?.clusters.keys() ?? [])];
  const keys = names
    .filter((name) => only === undefined || only === name)
    .map((name) => clusterFacts(name, all, live, now));
  const unreadable = inventory.unreadable.map(({ place: { file, ...within }, message }) => {
    const where = formatPlace(within);
    return { file, message: where === "" ? message : `${where}: ${message}` };
  });
  if (options.json) {
    await printJson({ sealedSecrets: facts, unreadable, clusters: keys });
  } else {
    await printLines(statusLines(facts, unreadable, keys));
  }
  const wrong =
    inventory.unreadable.filter(({ place }) => !isChartTemplate(place.file ?? "")).length +
    // Of a file for no cluster nobody can tell more.
    facts.filter(({ state, cluster }) => state !== "current" && (cluster ?? state) !== "unknown")
      .length +
    keys.filter(({ certificate }) => certificate !== "valid").length;
  if (wrong > 0) throw new SignetError("check-found", `${count(wrong, "thing")} to be done`);
}

async function askCluster(cluster: ProjectCluster, options: StatusOptions): Promise<LiveCluster> {
  const { listSealedSecrets } = await import("../cluster/apiobjects.ts");
  const connection = projectClusterOptions(cluster, options);
  const [report, sealedSecrets] = await locateAsync({ object: cluster.name }, () =>
    Promise.all([fetchKeyReport(connection), listSealedSecrets(connection)]),
  );
  return { report, sealedSecrets };
}

/** Where the cluster has the same ciphertext, its controller knows the key better than a stamp. */
function withLiveKeys(inventory: Inventory, live: ReadonlyMap<string, LiveCluster>): Inventory {
  const files = inventory.files.map((file) => ({
    ...file,
    objects: file.objects.map((object) => {
      const applied = live.get(object.meaning?.cluster.name ?? "")?.sealedSecrets.get(object.name);
      return applied === undefined ? object : { ...object, values: liveValues(object, applied) };
    }),
  }));
  return { ...inventory, files };
}

function liveValues(object: SealedObject, applied: JsonObject): readonly SealedValue[] {
  const under = new Map<string, string>();
  const status = asObject(applied["status"] ?? null) ?? {};
  const sealedUnder = asObject(status["sealedUnder"] ?? null) ?? {};
  for (const [fingerprint, items] of Object.entries(sealedUnder)) {
    if (!Array.isArray(items)) continue;
    for (const item of items) if (typeof item === "string") under.set(item, fingerprint);
  }
  const { generation } = metadataOf(applied);
  if (status["observedGeneration"] !== generation) return object.values;
  const [declared, live] = [itemsOf(object.sealed), appliedIn(applied)[0]?.items];
  return object.values.map((value) => {
    const fingerprint = under.get(value.item);
    const isSame = live?.get(value.item)?.ciphertext === declared.get(value.item)?.ciphertext;
    if (!isSame || fingerprint === undefined || fingerprint === value.fingerprint) return value;
    const certificate = object.cluster?.known.get(fingerprint);
    const isCurrent = fingerprint === object.cluster?.current?.fingerprint;
    // The controller opened it, so the key is its cluster's, whether the repository knows it or not.
    return { ...value, fingerprint, certificate, key: isCurrent ? "current" : "old" };
  });
}

const keyOf = ({ file, name }: { file: string; name: string }): string => `${file}\n${name}`;

function problemsByObject(
  inventory: Inventory,
  project: Project | null,
  now: Date,
): Map<string, string[]> {
  const problems = new Map<string, string[]>();
  for (const { file, object, rule, message } of verifyFiles(inventory, project, undefined, now)) {
    if (object === undefined || rule === "unknown-key") continue;
    const key = keyOf({ file, name: object });
    problems.set(key, [...(problems.get(key) ?? []), message]);
  }
  return problems;
}

function factsOf(
  object: SealedObject,
  problems: readonly string[],
  live: ReadonlyMap<string, LiveCluster>,
  now: Date,
) {
  const { sealed, scope, values, meaning, file } = object;
  const keys = values.map(({ key }) => key);
  const state =
    problems.length > 0
      ? "wrong"
      : keys.includes("old") || keys.includes("foreign")
        ? "stale"
        : keys.every((key) => key === "current")
          ? "current"
          : "unknown";
  const asked = live.get(meaning?.cluster.name ?? "");
  return {
    cluster: meaning?.cluster.name ?? null,
    namespace: sealed.metadata.namespace,
    name: sealed.metadata.name,
    scope,
    file,
    state,
    problems,
    ...(asked === undefined ? {} : { inCluster: liveState(object, asked) }),
    values: values.map(({ item, fingerprint, key, certificate }) => ({
      item,
      fingerprint: fingerprint ?? null,
      key,
      keyAgeDays: certificate === undefined ? null : ageDays(certificate.notBefore, now),
    })),
  };
}

/** A SealedSecret of the repository. */
export type Facts = ReturnType<typeof factsOf>;

function liveState(object: SealedObject, { sealedSecrets }: LiveCluster): string {
  const applied = sealedSecrets.get(object.name);
  if (applied === undefined) return "not applied";
  const [declared, inCluster] = [itemsOf(object.sealed), appliedIn(applied)[0]?.items];
  const isSame =
    inCluster?.size === declared.size &&
    [...declared].every(([item, { ciphertext }]) => inCluster.get(item)?.ciphertext === ciphertext);
  if (!isSame) return "another version";
  const conditions = objectsIn(asObject(applied["status"] ?? null)?.["conditions"] ?? []);
  const synced = conditions.find(({ type }) => type === "Synced");
  if (synced?.["status"] === "True") return "synced";
  return typeof synced?.["reason"] === "string" ? synced["reason"] : "not synced";
}

function ageDays(since: Date, now: Date): number {
  return Math.max(0, Math.floor((now.getTime() - since.getTime()) / DAY_MS));
}

/** The keys of a cluster, and which of them nothing needs. */
function clusterFacts(
  name: string,
  inventory: Inventory,
  live: ReadonlyMap<string, LiveCluster>,
  now: Date,
) {
  const current = inventory.clusters.get(name)?.current ?? null;
  const asked = live.get(name);
  const allUses = keyUse(inventory, name);
  const uses = allUses.filter(({ fingerprint }) => fingerprint !== undefined);
  const named = new Set(uses.map(({ fingerprint }) => fingerprint));
  // Keys that the cluster holds and the repository never knew.
  const others = (asked?.report.keys ?? []).flatMap(({ fingerprint, notBefore }): KeyUse[] =>
    named.has(fingerprint)
      ? []
      : [
          {
            fingerprint,
            state: "former",
            since: notBefore === null ? undefined : new Date(notBefore),
            values: [],
          },
        ],
  );
  return {
    cluster: name,
    certificate: current === null ? "missing" : daysLeft(current, now) < 0 ? "expired" : "valid",
    daysLeft: current === null ? null : daysLeft(current, now),
    asked: asked !== undefined,
    keys: [...uses, ...others].map((use) => {
      const inFiles = blockersAmong(allUses, inventory, use.fingerprint ?? "");
      return keyFact(use, inFiles, asked, now);
    }),
  };
}

function keyFact(
  { fingerprint = "", state, since, values }: KeyUse,
  inFiles: readonly string[],
  asked: LiveCluster | undefined,
  now: Date,
) {
  const reported = asked?.report.keys.find((key) => key.fingerprint === fingerprint);
  const seals = state === "sealing" || reported?.state === "sealing";
  const blockedBy = [...inFiles, ...clusterBlockers(reported, asked)];
  return {
    fingerprint,
    state: seals ? "sealing" : state,
    secret: reported?.secret ?? null,
    since: since?.toISOString() ?? null,
    ageDays: since === undefined ? null : ageDays(since, now),
    values: values.length,
    /** Nothing in the files, nor in the cluster where it was asked, needs it. */
    safe: !seals && blockedBy.length === 0,
    blockedBy: seals ? [] : blockedBy,
  };
}

function clusterBlockers(
  reported: ReportedKey | undefined,
  asked: LiveCluster | undefined,
): string[] {
  if (asked === undefined) return [];
  const { unknown } = asked.report;
  return [
    ...(reported === undefined || reported.values === 0
      ? []
      : [`${countWords(reported)} of the cluster under it`]),
    ...(unknown.values === 0 ? [] : [`${countWords(unknown)} of the cluster that do not open`]),
  ];
}

/** A cluster of signet.yaml, and its keys. */
export type ClusterFacts = ReturnType<typeof clusterFacts>;
