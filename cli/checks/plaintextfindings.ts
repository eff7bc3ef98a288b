// What scan finds in a text.

export interface Plaintext {
  readonly rule:
    | "plaintext-secret"
    | "quoted-secret"
    | "last-applied"
    | "kustomize-literal"
    | "kustomize-file"
    | "secret-command"
    | "unreadable";
  readonly severity: "error" | "warning";
  readonly line: number;
  /** `NAMESPACE/NAME`, or what of it is known. */
  readonly object: string | undefined;
  /** Names of items; never a value. */
  readonly items: readonly string[];
  /** Why a part of the text cannot be checked, if it cannot. */
  readonly reason?: string;
}

/** A part of a text that cannot be checked, so it may hold any value. */
export function unreadable(reason: string, line: number, isTemplate = false): Plaintext {
  const severity = isTemplate ? "warning" : "error";
  return { rule: "unreadable", severity, line, object: undefined, items: [], reason };
}
