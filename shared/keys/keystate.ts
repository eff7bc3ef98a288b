// The one vocabulary for the state of a sealing key: reports, metrics and the command line use it.
// SPEC.md, "States of a key".

/**
 * - `sealing`: new values are sealed with it.
 * - `former`: it sealed before; it opens what was sealed with it.
 * - `compromised`: somebody marked it so; it opens, and what is sealed with it must be changed.
 * - `retired`: its Secret is labelled so, and the controller no longer holds it.
 * - `foreign`: it belongs to another cluster.
 * - `unknown`: nobody here knows the key, or nothing says which key it is.
 */
export type KeyState = "sealing" | "former" | "compromised" | "retired" | "foreign" | "unknown";
