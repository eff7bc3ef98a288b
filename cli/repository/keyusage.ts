// Which values of a repository each key of a cluster sealed, and which keys are no longer needed.

import { count } from "../terminal/counts.ts";
import type { Inventory, RepositoryKeyState, SealedObject, SealedValue } from "./sealedfiles.ts";

/** A value, and where it is. */
interface FoundValue {
  readonly file: string;
  readonly object: SealedObject;
  readonly value: SealedValue;
}

export interface KeyUse {
  /** Undefined for values whose key is not known. */
  readonly fingerprint: string | undefined;
  readonly state: RepositoryKeyState;
  readonly since: Date | undefined;
  readonly values: readonly FoundValue[];
}

/**
 * Every key of a cluster that has a certificate in the repository or sealed a value; the newest
 * first.
 */
export function keyUse({ files, clusters }: Inventory, cluster: string): KeyUse[] {
  const keys = clusters.get(cluster);
  const byKey = new Map<string | undefined, FoundValue[]>();
  for (const fingerprint of keys?.known.keys() ?? []) byKey.set(fingerprint, []);
  for (const { path, objects } of files) {
    for (const object of objects) {
      const isOwn = object.meaning?.cluster.name === cluster;
      for (const value of object.values) {
        // A file in the wrong place still needs the key that sealed it. A value without a known key
        // or cluster may need any key.
        const isKnown = keys?.known.has(value.fingerprint ?? "") ?? false;
        const mayBe = object.meaning === null && value.fingerprint === undefined;
        if (!isOwn && !isKnown && !mayBe) continue;
        const found = byKey.get(value.fingerprint) ?? [];
        byKey.set(value.fingerprint, found);
        found.push({ file: path, object, value });
      }
    }
  }
  const uses = [...byKey].map(([fingerprint, values]): KeyUse => {
    const certificate = fingerprint === undefined ? undefined : keys?.known.get(fingerprint);
    return {
      fingerprint,
      state: stateOf(fingerprint, cluster, clusters),
      since: certificate?.notBefore,
      values,
    };
  });
  return uses.sort((a, b) => (b.since?.getTime() ?? 0) - (a.since?.getTime() ?? 0));
}

function stateOf(
  fingerprint: string | undefined,
  cluster: string,
  clusters: Inventory["clusters"],
): RepositoryKeyState {
  if (fingerprint === undefined) return "unknown";
  const keys = clusters.get(cluster);
  if (keys?.current?.fingerprint === fingerprint) return "sealing";
  if (keys?.known.has(fingerprint) === true) return "former";
  const isOfOther = [...clusters.values()].some(({ known }) => known.has(fingerprint));
  return isOfOther ? "foreign" : "unknown";
}

/** Why the files of a repository still need a key; empty where none does. */
export function blockersOf(inventory: Inventory, cluster: string, fingerprint: string): string[] {
  return blockersAmong(keyUse(inventory, cluster), inventory, fingerprint);
}

/** The same, where the uses of the cluster's keys are known. */
export function blockersAmong(
  uses: readonly KeyUse[],
  { unreadable }: Inventory,
  fingerprint: string,
): string[] {
  const files = (wanted: string | undefined): [string, number][] => {
    const counted = new Map<string, number>();
    const use = uses.find((each) => each.fingerprint === wanted);
    for (const { file } of use?.values ?? []) counted.set(file, (counted.get(file) ?? 0) + 1);
    return [...counted];
  };
  return [
    ...files(fingerprint).map(
      ([file, values]) => `${file}: ${count(values, "value")} sealed with it`,
    ),
    ...files(undefined).map(
      ([file, values]) => `${file}: ${count(values, "value")} without a stamp`,
    ),
    ...unreadable.map(({ place }) => `${place.file ?? ""}: cannot be read`),
  ];
}
