// The rows of `signet status`: one for each SealedSecret, even if several clusters have it, and one for
// each key if its values are sealed with several.

import { shortFingerprint } from "../../terminal/counts.ts";
import type { Part } from "../../terminal/line.ts";
import { styledState } from "../../terminal/states.ts";
import { table } from "../../terminal/table.ts";
import type { Line } from "../../terminal/line.ts";
import type { Facts } from "./statusfacts.ts";

const HEADS = ["CLUSTER", "NAMESPACE", "NAME", "SCOPE", "STATE", "KEY", "AGE", "VALUES", "FILE"];

/** `isWide`: one row for each file, with whole fingerprints, whatever the terminal's width. */
export function statusTable(listed: readonly Facts[], isWide: boolean): Line[] {
  if (listed.length === 0) return [];
  const isLive = listed.some(({ inCluster }) => inCluster !== undefined);
  const groups = isWide ? listed.map((each) => [each]) : together(listed);
  const rows = groups.flatMap((group) =>
    rowsOf(group, isWide).map((row) => (isLive ? [...row, group[0]?.inCluster ?? "-"] : row)),
  );
  const heads = isLive ? [...HEADS, "IN CLUSTER"] : HEADS;
  return table([heads, ...rows], isWide ? Infinity : undefined);
}

/**
 * The same SealedSecret of several clusters or namespaces, where it has the same items in the same
 * state, each under one key.
 */
function together(listed: readonly Facts[]): Facts[][] {
  const groups = new Map<string, Facts[]>();
  for (const [index, facts] of listed.entries()) {
    const { name, scope, state, values, inCluster } = facts;
    const isOfOneKey = keysOf(facts).length === 1;
    const items = values.map(({ item }) => item).sort();
    const same = JSON.stringify([name, scope, state, inCluster ?? "", items]);
    const key = isOfOneKey ? same : `${index}`;
    const group = groups.get(key) ?? [];
    // Two declarations of the same namespace and name are not copies.
    const isPlaced = group.some((each) => placeOf(each) === placeOf(facts));
    if (isPlaced) groups.set(`${index}`, [facts]);
    else groups.set(key, [...group, facts]);
  }
  return [...groups.values()];
}

const placeOf = ({ cluster, namespace }: Facts): string => `${cluster ?? ""}\n${namespace}`;

const keysOf = ({ values }: Facts): string[] => [
  ...new Set(values.map(({ fingerprint }) => fingerprint ?? "")),
];

function rowsOf(group: readonly Facts[], isWide: boolean): Part[][] {
  const [first] = group;
  if (first === undefined) return [];
  const { name, scope, state, values } = first;
  const place = [
    listOf(group.map(({ cluster }) => cluster ?? "-")),
    listOf(group.map(({ namespace }) => (namespace === "" ? "-" : namespace))),
    name,
    scope,
    styledState(state),
  ];
  const file = pathOf(group.map((each) => each.file));
  const all = group.flatMap((each) => each.values);
  const keys = [...new Set(all.map(({ fingerprint }) => fingerprint ?? ""))];
  if (keys.length === 0) return [[...place, "-", "-", "-", file]];
  const shown = (key: string): string =>
    key === "" ? "unknown" : isWide ? key : shortFingerprint(key);
  if (group.length > 1) {
    const key = keys.length === 1 ? shown(keys[0] ?? "") : `${keys.length} keys`;
    return [[...place, key, ageOf(all), String(values.length), file]];
  }
  return keys.map((key) => {
    const under = values.filter(({ fingerprint }) => (fingerprint ?? "") === key);
    const items = under.map(({ item }) => item).join(",");
    const count = keys.length === 1 ? String(under.length) : items;
    return [...place, shown(key), ageOf(under), count, file];
  });
}

const listOf = (names: readonly string[]): string => [...new Set(names)].join(",");

/** The age of the oldest key. */
function ageOf(values: Facts["values"]): string {
  const ages = values.flatMap(({ keyAgeDays }) => keyAgeDays ?? []);
  return ages.length === 0 ? "-" : `${Math.max(...ages)}d`;
}

/** Several paths as one, such as `{dev,prod}/shop/db.yaml`. */
function pathOf(paths: readonly string[]): string {
  const [first = "", ...others] = paths;
  if (others.length === 0) return first;
  const split = paths.map((path) => path.split("/"));
  const [parts = []] = split;
  const differing = parts.flatMap((part, at) =>
    split.every((each) => each[at] === part) ? [] : [at],
  );
  const [at] = differing;
  const isLikeFirst = split.every((each) => each.length === parts.length);
  if (at === undefined || differing.length > 1 || !isLikeFirst) return `${paths.length} files`;
  const names = split.map((each) => each[at] ?? "");
  return parts.with(at, `{${listOf(names)}}`).join("/");
}
