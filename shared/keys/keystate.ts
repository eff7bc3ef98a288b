// The states of a sealing key, as used in reports, metrics and the command line.
// SPEC.md, "States of a key".

/**
 * - `sealing`: new values are sealed with this key.
 * - `former`: an earlier sealing key, which still opens the values sealed with it.
 * - `compromised`: an administrator marked it so. It still opens values, but they must be changed.
 * - `unconfirmed`: neither the controller nor a person vouched for it. It opens values only.
 * - `retired`: an administrator took it out of use, and the controller no longer loads it.
 * - `foreign`: the key belongs to another cluster.
 * - `unknown`: no known certificate matches the key, or the key of the value is not recorded.
 */
export type KeyState =
  "sealing" | "former" | "compromised" | "unconfirmed" | "retired" | "foreign" | "unknown";
