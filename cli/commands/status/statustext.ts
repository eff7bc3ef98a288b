// The facts of `signet status` as text.

import { HYBRID } from "../../../shared/envelopes/hybrid.ts";
import { table } from "../../terminal/table.ts";
import { count, shortFingerprint } from "../../terminal/counts.ts";
import { type ClusterFacts, countsOf, type Facts, STATES } from "./statusfacts.ts";

/**
 * The table of SealedSecrets that are `listed`, the counts and problems of all, and the keys.
 * `reading`: how many files were read for the SealedSecrets, and for the keys.
 */
export function statusLines(
  facts: readonly Facts[],
  listed: readonly Facts[],
  unreadable: readonly { file: string | undefined; message: string }[],
  clusters: readonly ClusterFacts[],
  reading: { readonly listed: string; readonly all: string },
): string[] {
  const isLive = facts.some(({ inCluster }) => inCluster !== undefined);
  const head = ["CLUSTER", "NAMESPACE", "NAME", "SCOPE", "STATE", "KEY", "AGE", "VALUES"];
  const rows = listed.flatMap((each) =>
    rowsOf(each).map((row) => (isLive ? [...row, each.inCluster ?? "-"] : row)),
  );
  const lines = table([isLive ? [...head, "FILE", "IN CLUSTER"] : [...head, "FILE"], ...rows]);
  if (listed.length === 0) lines.length = 0;
  if (facts.length === 0) lines.push(`no sealed files (${reading.listed})`);
  else lines.push(...(listed.length === 0 ? [] : [""]), countLine(facts));
  const problems = facts.flatMap(({ file, problems: each }) =>
    each.map((problem) => `${file}: ${problem}`),
  );
  for (const { file = "", message } of unreadable) problems.push(`${file}: ${message}`);
  if (problems.length > 0)
    lines.push("", "Problems:", ...problems.map((problem) => `  ${problem}`));
  for (const each of clusters) lines.push("", ...clusterLines(each, reading.all));
  return lines;
}

function countLine(facts: readonly Facts[]): string {
  const counts = countsOf(facts);
  const parts = STATES.filter((state) => counts[state] > 0).map(
    (state) => `${counts[state]} ${state}`,
  );
  return `${count(counts.total, "SealedSecret")}: ${parts.join(", ")}`;
}

/** One row for each key that sealed values of the object. */
function rowsOf({ cluster, namespace, name, scope, state, values, file }: Facts): string[][] {
  const byKey = new Map<string, Facts["values"][number][]>();
  for (const value of values) {
    const key = value.fingerprint ?? "";
    byKey.set(key, [...(byKey.get(key) ?? []), value]);
  }
  const place = [cluster ?? "-", namespace === "" ? "-" : namespace, name, scope, state];
  if (byKey.size === 0) return [[...place, "-", "-", "-", file]];
  return [...byKey].map(([fingerprint, under]) => {
    const age = under[0]?.keyAgeDays ?? null;
    return [
      ...place,
      fingerprint === "" ? "unknown" : shortFingerprint(fingerprint),
      age === null ? "-" : `${age}d`,
      byKey.size === 1 ? String(under.length) : under.map(({ item }) => item).join(","),
      file,
    ];
  });
}

function clusterLines(
  { cluster, certificate, daysLeft: left, asked, notSynced, keys, ...rest }: ClusterFacts,
  reading: string,
): string[] {
  const state =
    certificate === "missing"
      ? `no certificate yet: \`signet cert refresh ${cluster}\``
      : certificate === "expired"
        ? `its certificate has EXPIRED: \`signet cert refresh ${cluster}\``
        : `certificate valid for ${count(left ?? 0, "day")}`;
  const lines = [`Keys of ${cluster} (${state}):`, ...algorithmLines(rest)];
  for (const {
    fingerprint,
    state: keyState,
    since,
    ageDays: age,
    values,
    safe,
    blockedBy,
  } of keys) {
    const old = since === null ? "" : `, since ${since.slice(0, 10)} (${count(age ?? 0, "day")})`;
    const head = `  ${shortFingerprint(fingerprint)}  ${keyState}${old}: ${count(values, "value")}`;
    const verdict =
      keyState === "sealing"
        ? ""
        : safe
          ? asked
            ? `; SAFE to retire (files: ${reading})`
            : `; no file needs it (${reading}), ask the cluster with --live`
          : "; blocked by";
    lines.push(head + verdict, ...shortened(blockedBy).map((reason) => `    ${reason}`));
  }
  if (keys.some(({ safe }) => safe)) {
    lines.push("  Older commits may still be under a key that is safe: keep it in a backup.");
  }
  if (notSynced.length > 0) {
    const failures = notSynced.map(({ sealedSecret, why }) => `${sealedSecret}: ${why}`);
    lines.push(
      `  ${count(notSynced.length, "SealedSecret")} of the cluster not synced:`,
      ...shortened(failures).map((failure) => `    ${failure}`),
    );
  }
  return lines;
}

/** Nothing where there is only RSA, and nothing else to move to. */
function algorithmLines({
  algorithms,
  sealsWith,
}: Pick<ClusterFacts, "algorithms" | "sealsWith">): string[] {
  const { hybrid = 0, rsa = 0 } = algorithms;
  if (hybrid === 0 && !sealsWith.includes(HYBRID)) return [];
  const back = hybrid > 0 && !sealsWith.includes(HYBRID) ? "; its certificate offers RSA only" : "";
  return [`  values: ${hybrid} hybrid, ${rsa} RSA${back}`];
}

const MAX_SHOWN = 10;

function shortened(lines: readonly string[]): string[] {
  const more = lines.length - MAX_SHOWN;
  return [...lines.slice(0, MAX_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])];
}
