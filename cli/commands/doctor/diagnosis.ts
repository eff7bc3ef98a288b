// What a check of `signet doctor` found.

import type { Rule } from "../../checks/rules.ts";

export interface Diagnosis {
  /** What was checked, such as `git` or `controller`. */
  readonly check: string;
  /** The cluster; absent for the machine and the repository. */
  readonly cluster?: string;
  /** `skipped`: not checked; the message says why. */
  readonly state: "ok" | "warning" | "problem" | "skipped";
  readonly message: string;
  /** Explained by `signet explain CODE`; absent if no problem was found. */
  readonly code?: Rule;
  /** What to do. */
  readonly hint?: string;
}

/** Receives each diagnosis as soon as it is known. */
export type Tell = (diagnosis: Diagnosis) => void;
