// What comes out of sealing, for a person to copy or download. Nothing in it is confidential.

export interface SealedResult {
  /** The cluster's name; empty if nothing was sealed for one. */
  readonly cluster: string;
  /** The name under which it is downloaded. */
  readonly fileName: string;
  /** Where it belongs in the repository, if the page knows. */
  readonly path?: string | undefined;
  /** The key with which values were sealed; undefined if none were. */
  readonly fingerprint?: string | undefined;
  /** The manifest. */
  readonly text: string;
  /** What was done, such as `2 items sealed`. */
  readonly summary: string;
}
