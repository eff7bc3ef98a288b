// Checks of the repository: signet.yaml, each cluster's certificate, and plaintext.

import { formatPlace, SignetError } from "../../../shared/errors.ts";
import { checkCertificateFile } from "../../checks/certificaterules.ts";
import { hasPlaintext } from "../../checks/plainfiles.ts";
import { treeSource } from "../../checks/scannedfiles.ts";
import { daysLeft } from "../../cluster/certificatesource.ts";
import { looseText } from "../../git/loosetext.ts";
import { clusterKeys } from "../../repository/clustercertificates.ts";
import { committedHybrid } from "../../repository/committedcertificates.ts";
import type { Project, ProjectCluster } from "../../repository/projectfile.ts";
import { count, shortFingerprint } from "../../terminal/counts.ts";
import type { Diagnosis, Tell } from "./diagnosis.ts";

const DAY_MS = 86_400_000;
/** For a certificate that is renewed every month, with some spare time. */
const SOON_DAYS = 14;
/** Time limit for reading files. */
const SCAN_LIMIT_MS = 10_000;

/** The age of the certificate in the repository, and how long it is still valid. */
export function checkCertificate(project: Project, cluster: ProjectCluster, tell: Tell): void {
  const about = { check: "certificate", cluster: cluster.name };
  const refresh = `run \`signet cert refresh ${cluster.name}\``;
  try {
    const keys = clusterKeys(project, cluster);
    const { current, file } = keys;
    if (current === null) {
      const message = `${file}: not found`;
      tell({ ...about, state: "problem", code: "certificate-file", message, hint: refresh });
      return;
    }
    const now = new Date();
    const left = daysLeft(current, now);
    const age = Math.max(0, Math.floor((now.getTime() - current.notBefore.getTime()) / DAY_MS));
    const words = `${file}: ${shortFingerprint(current.fingerprint)}, ${count(age, "day")} old`;
    const message = left < 0 ? `${words}, EXPIRED` : `${words}, ${count(left, "day")} left`;
    if (left < 0) {
      tell({ ...about, state: "problem", code: "certificate-former", message, hint: refresh });
    } else {
      tell({ ...about, state: left < SOON_DAYS ? "warning" : "ok", message });
    }
    const found = checkCertificateFile(keys, committedHybrid(project));
    for (const { severity, rule, message: words } of found) {
      const state = severity === "error" ? "problem" : "warning";
      tell({ ...about, state, code: rule, message: words });
    }
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    tell({ ...about, state: "problem", code: "certificate-file", message: error.message });
  }
}

/** Reads only manifests, for a limited time: `signet scan` reads every file that can hold a Secret. */
export async function checkPlaintext(project: Project | null): Promise<Diagnosis> {
  try {
    return await lookForPlaintext(project);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    const words = [formatPlace(error.place), error.message].filter((part) => part !== "");
    return { check: "plaintext", state: "problem", code: "unreadable", message: words.join(": ") };
  }
}

async function lookForPlaintext(project: Project | null): Promise<Diagnosis> {
  const until = Date.now() + SCAN_LIMIT_MS;
  let files = 0;
  const found = new Set<string>();
  for await (const file of treeSource([]).manifests()) {
    if (Date.now() > until) {
      const message = `${count(files, "file")} read before the limit of 10 seconds: run \`signet scan\` to check all`;
      return { check: "plaintext", state: "skipped", message };
    }
    files++;
    // Lets answers from clusters arrive before their deadlines.
    if (files % 20 === 0) await new Promise(setImmediate);
    const text = "bytes" in file && file.bytes !== null ? looseText(file.bytes) : null;
    if (text !== null && hasPlaintext(file.path, text, project)) {
      found.add(file.path);
    }
  }
  if (found.size === 0) {
    const message = `no Secrets in plain text in ${count(files, "manifest")}`;
    return { check: "plaintext", state: "ok", message };
  }
  return {
    check: "plaintext",
    state: "problem",
    code: "plaintext-secret",
    message: `Secrets in plain text in ${count(found.size, "file")}, such as ${[...found][0] ?? ""}`,
    hint: "run `signet scan`",
  };
}
