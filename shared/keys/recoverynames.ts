// What the recovery files of a sealing key are called, and how long they may be.
// SPEC.md, "Recovery".

/** Who can recover a key. */
export interface RecoveryPolicy {
  /** Recipients of age, all classic or all post-quantum. */
  readonly recipients: readonly string[];
  /** The number of recipients required; null: any one of them. */
  readonly quorum: number | null;
}

/** For so many, at most, is a file. */
export const MAX_RECIPIENTS = 32;

/** The file that holds the key. Each of the others is a share, for one holder. */
export const KEY_FILE = "key.age";

/** The name of a holder's file. `number`: from 1. */
export function shareFile(number: number): string {
  return `share-${number}.age`;
}

/** Whether a name is that of a recovery file. */
export function isRecoveryFile(name: string): boolean {
  return name === KEY_FILE || /^share-[1-9]\d?\.age$/.test(name);
}

/** No recovery file is longer, in characters. For 32 post-quantum recipients one has 90,000. */
export const MAX_RECOVERY_CHARACTERS = 256 * 1024;

/**
 * The name of a key's file in a repository, by the name that the controller gives it: the fingerprint in
 * base64url, `.age`; and before that the number of a share.
 */
export function repositoryName(fingerprint: string, file: string): string {
  const base64 = fingerprint.slice("SHA256:".length);
  const name = base64.replaceAll("+", "-").replaceAll("/", "_");
  return file === KEY_FILE ? `${name}.age` : `${name}.${file}`;
}
