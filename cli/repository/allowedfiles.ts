// The files that verify.allow of signet.yaml leaves out of a check, such as examples that hold no real SealedSecret.
// SPEC.md, "Projects".

import { count } from "../terminal/counts.ts";
import { say } from "../terminal/messages.ts";
import { pathBelow } from "./project.ts";
import type { AllowedFiles, Project } from "./projectfile.ts";
import type { Inventory } from "./sealedfiles.ts";

/** The entry of verify.allow that a file matches. */
export function allowedBy(project: Project | null, path: string): AllowedFiles | undefined {
  if (project === null || project.unverified.length === 0) return undefined;
  const below = pathBelow(project, path);
  return project.unverified.find(({ matches }) => matches(below));
}

/** What is left to check, and how many files signet.yaml leaves out. Prints which entries apply. */
export function withoutAllowed(
  inventory: Inventory,
  project: Project | null,
): { readonly inventory: Inventory; readonly allowed: number } {
  const counts = new Map<AllowedFiles, number>();
  const isChecked = (path: string): boolean => {
    const rule = allowedBy(project, path);
    if (rule !== undefined) counts.set(rule, (counts.get(rule) ?? 0) + 1);
    return rule === undefined;
  };
  const files = inventory.files.filter(({ path }) => isChecked(path));
  const unreadable = inventory.unreadable.filter(({ place }) => isChecked(place.file ?? ""));
  let allowed = 0;
  for (const [{ pattern, reason }, left] of counts) {
    say(`${count(left, "file")} not checked: verify.allow has ${pattern}: ${reason}`);
    allowed += left;
  }
  return { inventory: { ...inventory, files, unreadable }, allowed };
}
