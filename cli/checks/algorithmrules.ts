// Values that are sealed with another algorithm than the project requires.
// SPEC.md, "Whole repositories".

import { RSA } from "../../shared/envelopes/rsa.ts";
import { lineCounter } from "../../shared/manifest/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { envelopeOf } from "../repository/envelopes.ts";
import type { RequiredHybrid } from "../repository/projectfile.ts";
import type { Inventory } from "../repository/sealedfiles.ts";
import type { Finding } from "./findings.ts";

/** Everywhere, from the beginning. */
export const ALL_HYBRID: readonly RequiredHybrid[] = [
  { matches: () => true, from: new Date(Number.NEGATIVE_INFINITY) },
];

/** The values under RSA in files where, by now, only hybrid ones may be. */
export function checkHybrid(
  { files }: Pick<Inventory, "files">,
  required: readonly RequiredHybrid[],
  now: Date,
): Finding[] {
  const holding = required.filter(({ from }) => !(from > now));
  return files.flatMap(({ below, text, objects }) => {
    if (!holding.some(({ matches }) => matches(below))) return [];
    const lineAt = lineCounter(text);
    return objects.flatMap(({ file, name, sealed, values, document, path: within }) =>
      values.flatMap(({ item }): Finding[] => {
        // What is no envelope is malformed, by another rule.
        if (envelopeOf(sealed, item)?.kind !== RSA) return [];
        const isLegacy = sealed.legacyData !== undefined;
        const path = isLegacy ? ["spec", "data"] : ["spec", "encryptedData", item];
        const node = nodeAt(document.root, [...within, ...path]);
        const line = lineAt(node?.start ?? document.root.start);
        const what = isLegacy ? "spec.data" : item;
        const message = `${what}: is sealed with RSA, but must be hybrid: run "signet reseal --algorithm hybrid"`;
        return [{ rule: "not-hybrid", severity: "error", file, line, object: name, message }];
      }),
    );
  });
}
