// The result of sealing, for a person to copy or download. Nothing in it is confidential.

export interface SealedResult {
  /** The cluster's name; empty if nothing was sealed for one. */
  readonly cluster: string;
  /** The name under which it is downloaded. */
  readonly fileName: string;
  /** Its path in the repository, if known. */
  readonly path?: string | undefined;
  /** The key that values were sealed with; undefined if none were. */
  readonly fingerprint?: string | undefined;
  /** The manifest. */
  readonly text: string;
  /** What was done, such as `2 items sealed`. */
  readonly summary: string;
}
