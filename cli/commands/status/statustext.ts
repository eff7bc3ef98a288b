// The facts of `signet status` as text.

import { table } from "../../terminal/table.ts";
import { count, shortFingerprint } from "../../terminal/counts.ts";
import type { ClusterFacts, Facts } from "./statusfacts.ts";

/** The table of SealedSecrets, the problems, and each cluster's keys. */
export function statusLines(
  facts: readonly Facts[],
  unreadable: readonly { file: string | undefined; message: string }[],
  clusters: readonly ClusterFacts[],
): string[] {
  const isLive = facts.some(({ inCluster }) => inCluster !== undefined);
  const head = ["CLUSTER", "NAMESPACE", "NAME", "SCOPE", "STATE", "KEY", "AGE", "VALUES"];
  const rows = facts.flatMap((each) =>
    rowsOf(each).map((row) => (isLive ? [...row, each.inCluster ?? "-"] : row)),
  );
  const lines = table([isLive ? [...head, "FILE", "IN CLUSTER"] : [...head, "FILE"], ...rows]);
  if (facts.length === 0) lines.splice(0, lines.length, "no sealed files");
  const problems = facts.flatMap(({ file, problems: each }) =>
    each.map((problem) => `${file}: ${problem}`),
  );
  for (const { file = "", message } of unreadable) problems.push(`${file}: ${message}`);
  if (problems.length > 0)
    lines.push("", "To be mended:", ...problems.map((problem) => `  ${problem}`));
  for (const each of clusters) lines.push("", ...clusterLines(each));
  return lines;
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

function clusterLines({
  cluster,
  certificate,
  daysLeft: left,
  asked,
  keys,
}: ClusterFacts): string[] {
  const state =
    certificate === "missing"
      ? `no certificate yet: \`signet cert refresh ${cluster}\``
      : certificate === "expired"
        ? `its certificate has EXPIRED: \`signet cert refresh ${cluster}\``
        : `certificate valid for ${count(left ?? 0, "day")}`;
  const lines = [`Keys of ${cluster} (${state}):`];
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
            ? "; SAFE to retire"
            : "; no file needs it, ask the cluster with --live"
          : "; blocked by";
    lines.push(head + verdict, ...shortened(blockedBy).map((reason) => `    ${reason}`));
  }
  if (keys.some(({ safe }) => safe)) {
    lines.push("  Older commits may still be under a key that is safe: keep it in a backup.");
  }
  return lines;
}

const MAX_SHOWN = 10;

function shortened(lines: readonly string[]): string[] {
  const more = lines.length - MAX_SHOWN;
  return [...lines.slice(0, MAX_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])];
}
