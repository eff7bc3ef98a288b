// Owns: how many values of a repository are under each key of a cluster, and which keys nothing needs.
// Does not own: reading the files (sealedfiles.ts), what the cluster says (keys/list.ts).

import { count } from "../terminal.ts";
import type { Inventory, SealedObject, SealedValue } from "./sealedfiles.ts";

/** A value, and where it is. */
export interface FoundValue {
  readonly file: string;
  readonly object: SealedObject;
  readonly value: SealedValue;
}

export interface KeyUse {
  /** Undefined for values of which no key is known. */
  readonly fingerprint: string | undefined;
  /** `sealing`: the current one; `former`: one before it; `foreign`: not known to be this cluster's. */
  readonly state: "sealing" | "former" | "foreign" | "unknown";
  readonly since: Date | undefined;
  readonly values: readonly FoundValue[];
}

/** Every key of a cluster that the repository knows of or a value names: the newest first. */
export function keyUse({ files, clusters }: Inventory, cluster: string): KeyUse[] {
  const keys = clusters.get(cluster);
  const byKey = new Map<string | undefined, FoundValue[]>();
  for (const fingerprint of keys?.known.keys() ?? []) byKey.set(fingerprint, []);
  for (const { path, objects } of files) {
    for (const object of objects) {
      if (object.meaning?.cluster.name !== cluster) continue;
      for (const value of object.values) {
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
      state:
        fingerprint === undefined
          ? "unknown"
          : certificate === undefined
            ? "foreign"
            : fingerprint === keys?.current?.fingerprint
              ? "sealing"
              : "former",
      since: certificate?.notBefore,
      values,
    };
  });
  return uses.sort((a, b) => (b.since?.getTime() ?? 0) - (a.since?.getTime() ?? 0));
}

/** Why the files of a repository still need a key; empty where they do not. */
export function blockersOf(inventory: Inventory, cluster: string, fingerprint: string): string[] {
  const uses = keyUse(inventory, cluster);
  const files = (use: KeyUse | undefined): Map<string, number> => {
    const counted = new Map<string, number>();
    for (const { file } of use?.values ?? []) counted.set(file, (counted.get(file) ?? 0) + 1);
    return counted;
  };
  const under = files(uses.find((use) => use.fingerprint === fingerprint));
  const unknown = files(uses.find((use) => use.fingerprint === undefined));
  return [
    ...[...under].map(([file, values]) => `${file}: ${count(values, "value")} under it`),
    ...[...unknown].map(([file, values]) => `${file}: ${count(values, "value")} without a stamp`),
    ...inventory.unreadable.map(({ place }) => `${place.file ?? ""}: cannot be read`),
  ];
}
