// Which certificate seals a file, and with which scope, with or without a signet.yaml.
// SPEC.md, "Projects".

import type { Certificate } from "../../shared/keys/keykind.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { usableCertificate } from "../cluster/certificatesource.ts";
import { clusterOptions } from "../cluster/clusteroptions.ts";
import { shortFingerprint } from "../terminal/counts.ts";
import { say } from "../terminal/messages.ts";
import type { GivenCertificate } from "./clustercertificates.ts";
import { findProjectFolder } from "./projectfolder.ts";

interface SealingDefaults {
  /**
   * `path`: the file that the result goes to, or else the one that it comes from. Says on standard
   * error, once for each cluster, which certificate signet.yaml chose: whoever seals named none.
   */
  readonly certificateFor: (path: string | undefined) => Promise<Certificate>;
  /** The scope where neither the command line nor the Secret names one. */
  readonly defaultScope: Scope | undefined;
}

/**
 * Loads what reads signet.yaml only where there is one, which keeps sealing without it fast.
 * @throws SignetError project-invalid, usage
 */
export async function sealingDefaults(given: GivenCertificate): Promise<SealingDefaults> {
  if (given.cluster === undefined && findProjectFolder() === null) {
    let found: Promise<Certificate> | undefined;
    const certificateFor = (): Promise<Certificate> =>
      (found ??= usableCertificate({ ...given, ...clusterOptions(given) }));
    return { certificateFor, defaultScope: undefined };
  }
  const { Certificates } = await import("./clustercertificates.ts");
  const { findProject } = await import("./project.ts");
  const project = findProject();
  const certificates = new Certificates(given, project);
  const said = new Set<string>();
  return {
    certificateFor: async (path) => {
      const { certificate, cluster } = await certificates.chosenFor(path);
      if (cluster !== null && !said.has(cluster.name)) {
        say(`sealing for ${cluster.name} with key ${shortFingerprint(certificate.fingerprint)}`);
        said.add(cluster.name);
      }
      return certificate;
    },
    defaultScope: project?.scope,
  };
}
