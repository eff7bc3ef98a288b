// What a check of `signet doctor` found.

import type { Rule } from "../../checks/rules.ts";

export interface Diagnosis {
  /** What was checked, such as `git` or `controller`. */
  readonly check: string;
  /** Of which cluster; absent for the machine and the repository. */
  readonly cluster?: string;
  /** `skipped`: not checked; the message says why. */
  readonly state: "ok" | "warning" | "problem" | "skipped";
  readonly message: string;
  /** `signet explain CODE` says more; absent where nothing is wrong. */
  readonly code?: Rule;
  /** What to do. */
  readonly hint?: string;
}

/** Takes each diagnosis when it is there. */
export type Tell = (diagnosis: Diagnosis) => void;
