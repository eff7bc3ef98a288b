// The facts that `signet status` shows about each SealedSecret and about each cluster's keys.
// SPEC.md, "Whole repositories".

import { daysLeft } from "../../cluster/certificatesource.ts";
import { countWords, type ReportedKey } from "../../cluster/reportedkeys.ts";
import { countAlgorithms, envelopeOf } from "../../repository/envelopes.ts";
import { blockersAmong, keyUse, type KeyUse } from "../../repository/keyusage.ts";
import type { Inventory, SealedObject } from "../../repository/sealedfiles.ts";
import type { ValueRotation } from "../../checks/rotationrules.ts";
import type { Rule } from "../../checks/rules.ts";
import { type LiveCluster, liveState } from "./livecluster.ts";

/** The controller's states of keys that do not seal, which override the repository's. */
const NEVER_SEAL = ["compromised", "unconfirmed"] as const;
const DAY_MS = 86_400_000;

/** The states of a SealedSecret, in the order in which they are counted. */
export const STATES = ["current", "stale", "unknown", "wrong"] as const;
export type State = (typeof STATES)[number];

/** How many SealedSecrets are in each state. */
export function countsOf(facts: readonly Facts[]): Record<State | "total", number> {
  const inState = (wanted: State): number => facts.filter(({ state }) => state === wanted).length;
  return {
    total: facts.length,
    current: inState("current"),
    stale: inState("stale"),
    unknown: inState("unknown"),
    wrong: inState("wrong"),
  };
}

/** What is wrong with a SealedSecret. `signet explain CODE` says more. */
export interface Problem {
  readonly code: Rule;
  readonly message: string;
}

export function factsOf(
  object: SealedObject,
  found: readonly Problem[],
  warnings: readonly Problem[],
  rotations: ReadonlyMap<string, ValueRotation | null> | undefined,
  live: ReadonlyMap<string, LiveCluster>,
  now: Date,
) {
  const { sealed, scope, values, meaning, file } = object;
  const keys = values.map(({ key }) => key);
  const asked = live.get(meaning?.cluster.name ?? "");
  const inCluster = asked === undefined ? undefined : liveState(object, asked);
  const problems: readonly Problem[] =
    inCluster?.failure === undefined
      ? found
      : [
          ...found,
          { code: "not-synced", message: `the cluster cannot sync it: ${inCluster.failure}` },
        ];
  const isUnsafe = values.some(({ fingerprint }) =>
    asked?.report.keys.some(
      (key) => NEVER_SEAL.some((each) => each === key.state) && key.fingerprint === fingerprint,
    ),
  );
  const state: State =
    problems.length > 0
      ? "wrong"
      : isUnsafe || keys.includes("former") || keys.includes("foreign")
        ? "stale"
        : keys.every((key) => key === "sealing")
          ? "current"
          : "unknown";
  return {
    cluster: meaning?.cluster.name ?? null,
    namespace: sealed.metadata.namespace,
    name: sealed.metadata.name,
    scope,
    file,
    state,
    problems,
    warnings,
    ...(inCluster === undefined ? {} : { inCluster: inCluster.state }),
    values: values.map(({ item, fingerprint, key, certificate }) => ({
      item,
      fingerprint: fingerprint ?? null,
      key,
      algorithm: envelopeOf(sealed, item)?.kind ?? null,
      keyAgeDays: certificate === undefined ? null : ageDays(certificate.notBefore, now),
      ...rotationFacts(rotations?.get(item)),
    })),
  };
}

/** Empty if Git was not read. */
function rotationFacts(rotation: ValueRotation | null | undefined) {
  if (rotation === undefined) return {};
  return {
    /** When the value last changed, if what came after was re-sealing. */
    changed: rotation?.since.toISOString() ?? null,
    ageDays: rotation?.ageDays ?? null,
    /** Days since its ciphertext last changed. */
    sealedDays: rotation?.sealedDays ?? null,
    maxAgeDays: rotation?.maxAgeDays ?? null,
  };
}

/** About a SealedSecret of the repository. */
export type Facts = ReturnType<typeof factsOf>;

/** Whether it needs attention. A file without a cluster does not, as nothing more can be known of it. */
export function needsAttention({ state, cluster }: Facts): boolean {
  return state !== "current" && !(cluster === null && state === "unknown");
}

function ageDays(since: Date, now: Date): number {
  return Math.max(0, Math.floor((now.getTime() - since.getTime()) / DAY_MS));
}

/** A cluster's keys, and which of them are no longer needed. */
export function clusterFacts(
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
  // Keys that the cluster holds and the repository does not know.
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
    /** The algorithms that its certificate supports. */
    sealsWith: current?.kinds ?? [],
    /** How many values of its files are sealed with each algorithm. */
    algorithms: countAlgorithms(
      inventory.files
        .flatMap(({ objects }) => objects)
        .filter(({ meaning }) => meaning?.cluster.name === name),
    ),
    /** SealedSecrets of the cluster, whether they are in the repository or not. */
    notSynced: [...(asked?.failures ?? [])].map(([sealedSecret, why]) => ({ sealedSecret, why })),
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
  const held = NEVER_SEAL.find((each) => each === reported?.state);
  const seals = held === undefined && (state === "sealing" || reported?.state === "sealing");
  const blockedBy = [...inFiles, ...clusterBlockers(reported, asked)];
  return {
    fingerprint,
    state: held ?? (seals ? "sealing" : state),
    secret: reported?.secret ?? null,
    since: since?.toISOString() ?? null,
    ageDays: since === undefined ? null : ageDays(since, now),
    values: values.length,
    /** Whether no file needs it, and if the cluster was asked, neither does the cluster. */
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
      : [`${countWords(reported)} in the cluster need it`]),
    ...(unknown.values === 0
      ? []
      : [`${countWords(unknown)} in the cluster that cannot be opened`]),
  ];
}

/** About a cluster of signet.yaml and its keys. */
export type ClusterFacts = ReturnType<typeof clusterFacts>;
