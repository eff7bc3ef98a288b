// What is wrong with the certificate files of a repository: what does not belong in one, and
// certificates of keys that the cluster's controller does not seal with.
// SPEC.md, "Whole repositories".

import { isShort } from "../../shared/keys/rsakey.ts";
import type { HeldKeys } from "../cluster/reportedkeys.ts";
import { type ClusterKeys, losesHybrid } from "../repository/clustercertificates.ts";
import type { ProjectCluster } from "../repository/projectfile.ts";
import type { Finding } from "./findings.ts";
import type { Rule } from "./rules.ts";

/**
 * The first certificate of a file seals; each further block is the certificate of an earlier key.
 * Sealing skips anything else, so that only a check finds it. `hadHybrid`: whether the last commits
 * had a post-quantum key in the certificate that seals.
 */
export function checkCertificateFile(
  keys: ClusterKeys,
  hadHybrid: (cluster: ProjectCluster) => boolean,
): Finding[] {
  const { text, current, known, file } = keys;
  if (current === null) return [];
  const found = (severity: Finding["severity"], message: string): Finding => ({
    rule: "certificate-file",
    severity,
    file,
    message,
  });
  const blocks = [...text.matchAll(/-----BEGIN ([^\n]*?)-----/g)].map(([, kind = ""]) => kind);
  const certificates = blocks.filter((kind) => kind === "CERTIFICATE").length;
  const findings = [...new Set(blocks.filter((kind) => kind !== "CERTIFICATE"))].map((kind) =>
    found(
      "error",
      `holds a block ${JSON.stringify(kind)}, which does not belong in a certificate file`,
    ),
  );
  if (certificates > known.size) {
    findings.push(
      found("error", `${certificates} certificates, but only ${known.size} are valid and distinct`),
    );
  }
  if (isShort(current)) {
    const message = `the certificate's key has ${current.bits} bits, which is too short: it could be broken`;
    findings.push({ ...found("warning", message), rule: "certificate-short" });
  }
  if (losesHybrid(current, keys, () => hadHybrid(keys.cluster))) {
    const message = "the current certificate has no post-quantum key, but an earlier one has";
    findings.push({ ...found("warning", message), rule: "certificate-not-hybrid" });
  }
  for (const { fingerprint, notBefore } of known.values()) {
    if (notBefore <= current.notBefore) continue;
    // It happens where the cluster's newest key was taken out of use.
    const message = `the certificate of ${fingerprint} is newer than the first one, which is used for sealing`;
    findings.push(found("warning", message));
  }
  return findings;
}

/**
 * Whether the certificate that seals for a cluster is that of a key which its controller seals with,
 * or did. `held`: null where nothing says how to reach the controller.
 */
export function checkHeldKey(
  { current, file, cluster: { name } }: ClusterKeys,
  held: HeldKeys | null,
): Finding[] {
  if (current === null) return [];
  const { fingerprint } = current;
  const found = (rule: Rule, severity: Finding["severity"], message: string): Finding[] => [
    { rule, severity, file, message },
  ];
  if (held === null) {
    const message = `signet.yaml has no context for ${name}, so its keys could not be checked`;
    return found("certificate-unknown", "warning", message);
  }
  const state = held.states.get(fingerprint);
  if (state === undefined && !held.isComplete) {
    const message = `${fingerprint} is not the newest key of ${name}, and its controller does not report older keys`;
    return found("certificate-unknown", "warning", message);
  }
  if (state === undefined) {
    const message = `the controller of ${name} does not hold the key ${fingerprint}: someone else can read what is sealed with this certificate`;
    return found("certificate-unknown", "error", message);
  }
  if (state === "sealing") return [];
  if (state === "former") {
    const message = `the certificate is of a former key of ${name}; run "signet cert refresh ${name}"`;
    return found("certificate-former", "warning", message);
  }
  if (state === "compromised") {
    return found(
      "certificate-compromised",
      "error",
      `the key ${fingerprint} of ${name} is compromised`,
    );
  }
  const message = `the key ${fingerprint} of ${name} is unconfirmed: whoever added it may be able to read what is sealed with this certificate; run "signet cert refresh ${name}"`;
  return found("certificate-unconfirmed", "error", message);
}
