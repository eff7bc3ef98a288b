// Values that are to be changed from time to time, by `rotation` of signet.yaml, and how old they are.
// SPEC.md, "Rotation".

import { basename, dirname, join, relative } from "node:path";
import { slashed } from "../../host/platform.ts";
import { samePlace } from "../../host/readfile.ts";
import { lineCounter } from "../../shared/manifest/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { workTree } from "../git/gitprocess.ts";
import { itemsOf } from "../git/sealedtext.ts";
import { agesOf, type CurrentValue, type ValueAge } from "../git/valueages.ts";
import type { Project } from "../repository/projectfile.ts";
import type { Inventory, SealedObject } from "../repository/sealedfiles.ts";
import { count } from "../terminal/counts.ts";
import { busy } from "../terminal/progress.ts";
import type { Finding } from "./findings.ts";

const DAY_MS = 86_400_000;
/** How long before its day a value is warned of; a quarter of its time if that is less. */
const WARNING_DAYS = 14;

/** How old a value is, and how old it may be. */
export interface ValueRotation extends ValueAge {
  readonly ageDays: number;
  /** Days since its ciphertext last changed: fewer than `ageDays` if it may only have been re-sealed. */
  readonly sealedDays: number;
  /** Undefined where no rule is for its file. */
  readonly maxAgeDays: number | undefined;
}

/** By object and item; null where Git does not tell. */
export type Rotations = ReadonlyMap<SealedObject, ReadonlyMap<string, ValueRotation | null>>;

/** The ages of all values; empty outside of a working tree of Git. @throws SignetError io */
export function rotationsOf({ files }: Inventory, project: Project | null, now: Date): Rotations {
  const top = workTree();
  if (top === null) return new Map();
  const root = samePlace(top);
  const placed = files.flatMap(({ path, below, objects }) => {
    // A link is a file of its own for Git.
    const fromTop = slashed(relative(root, join(samePlace(dirname(path)), basename(path))));
    const maxAgeDays = project?.rotation.find(({ matches }) => matches(below))?.maxAgeDays;
    return objects.map((object) => ({ object, fromTop, maxAgeDays: maxAgeDays ?? undefined }));
  });
  const values = placed.map(({ object, fromTop }) =>
    [...itemsOf(object.sealed)].map(([item, sealed]): CurrentValue => ({
      ...sealed,
      path: fromTop,
      name: object.name,
      item,
    })),
  );
  const all = values.flat();
  const ages = busy("reading Git's history", () => agesOf(all, top, now));
  return new Map(
    placed.map(({ object, maxAgeDays }, index) => [
      object,
      new Map(
        (values[index] ?? []).map((value) => {
          const age = ages.get(value) ?? null;
          if (age === null) return [value.item, null] as const;
          const days = (since: Date): number =>
            Math.max(0, Math.floor((now.getTime() - since.getTime()) / DAY_MS));
          const [ageDays, sealedDays] = [days(age.since), days(age.sealedSince)];
          return [value.item, { ...age, ageDays, sealedDays, maxAgeDays }] as const;
        }),
      ),
    ]),
  );
}

/** The history is read only if there is a rule. */
function rotationsOfRules(inventory: Inventory, project: Project | null, now: Date): Rotations {
  const hasRules = project !== null && project.rotation.length > 0;
  return hasRules ? rotationsOf(inventory, project, now) : new Map();
}

/** What is due, or soon will be. */
export function checkRotation(
  inventory: Inventory,
  project: Project | null,
  now: Date,
  rotations = rotationsOfRules(inventory, project, now),
): Finding[] {
  if (project === null || project.rotation.length === 0) return [];
  return inventory.files.flatMap(({ text, path: file, below, objects }) => {
    const limit = project.rotation.find(({ matches }) => matches(below))?.maxAgeDays ?? null;
    if (limit === null) return [];
    const lineAt = lineCounter(text);
    return objects.flatMap((object) =>
      [...itemsOf(object.sealed).keys()].flatMap((item): Finding[] => {
        const found = findingOf(rotations.get(object)?.get(item) ?? null, limit);
        if (found === null) return [];
        const node = nodeAt(object.document.root, [...object.path, "spec", "encryptedData", item]);
        const line = lineAt(node?.start ?? object.document.root.start);
        const message = `${item}: ${found.message}`;
        return [{ ...found, message, file, line, object: object.name }];
      }),
    );
  });
}

function findingOf(
  rotation: ValueRotation | null,
  limit: number,
): Pick<Finding, "rule" | "severity" | "message"> | null {
  if (rotation === null) {
    const message = "the age of this value cannot be determined from Git's history";
    return { rule: "value-age-unknown", severity: "warning", message };
  }
  const { ageDays, sealedDays, sealedSince } = rotation;
  const age = `this value is ${count(ageDays, "day")} old`;
  if (sealedDays > limit) {
    const message = `${age}, but signet.yaml allows ${limit}`;
    return { rule: "value-old", severity: "error", message };
  }
  if (ageDays > limit) {
    const day = sealedSince.toISOString().slice(0, 10);
    const message = `${age}, but signet.yaml allows ${limit}, unless it was changed on ${day}, when it was sealed with another key`;
    return { rule: "value-old", severity: "warning", message };
  }
  const left = limit - ageDays;
  if (left > Math.min(WARNING_DAYS, limit / 4)) return null;
  const when = left === 0 ? "today" : `within ${count(left, "day")}`;
  const message = `${age}, but signet.yaml allows ${limit}: change it ${when}`;
  return { rule: "value-due", severity: "warning", message };
}
