// `signet cert`: fetch, show, list and refresh certificates.
// SPEC.md, "Command line", "Certificate".

import { type Command, Option } from "commander";
import { clusterOptions, type GivenClusterOptions } from "../cluster/clusteroptions.ts";
import {
  type Connected,
  connection,
  dryRunOption,
  factFormatOption,
  factJsonOption,
  flag,
  jsonOption,
  pinOption,
  withConnection,
} from "../options.ts";
import { X509Certificate } from "node:crypto";
import { relative } from "node:path";
import { HYBRID } from "../../shared/envelopes/hybrid.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { formatPlace, SignetError, throwAll } from "../../shared/errors.ts";
import {
  type CertificateOptions,
  daysLeft,
  findCertificate,
  warnOfCertificate,
  certificateFromEnvironment,
} from "../cluster/certificatesource.ts";
import { readCertificate } from "../cluster/certificateaddress.ts";
import { type Output, writeFiles } from "../../host/writefiles.ts";
import {
  certificateOutput,
  Certificates,
  checkKeepsHybrid,
  checkNotOfOther,
  type ClusterKeys,
  clusterKeys,
  currentCertificate,
  fetchClusterCertificate,
  withNewest,
} from "../repository/clustercertificates.ts";
import { committedHybrid } from "../repository/committedcertificates.ts";
import { clusterNamed, findProject, needProject } from "../repository/project.ts";
import type { Project, ProjectCluster } from "../repository/projectfile.ts";
import {
  fetchPublished,
  recoveryFolder,
  recoveryOutputs,
  recoveryPath,
} from "../repository/recoveryfolder.ts";
import { count, shortFingerprint } from "../terminal/counts.ts";
import { type FactFormat, printFacts } from "../terminal/facts.ts";
import { type Line, type Part, styled } from "../terminal/line.ts";
import { printJson, printResult } from "../terminal/results.ts";
import { styledState } from "../terminal/states.ts";
import { table } from "../terminal/table.ts";
import { say, warn } from "../terminal/messages.ts";

const LIST_HELP = `
Example:
  $ signet cert
  CLUSTER  KEY              SINCE       VALID FOR   FORMER KEYS  FILE
  prod     SHA256:pV1EkPSm  2026-11-02  3641 days   2            certificates/prod.pem`;

const REFRESH_HELP = `
The newest certificate is written first in the file. Older ones are kept, so that \`signet status\`
recognizes values that were sealed with them. If the controller has recovery recipients, the recovery files
of its keys are fetched too: age files that only those recipients can open.

If the file, now or in the last commit, has a certificate with a post-quantum key, a new certificate
without one is refused: an attacker on the network may have removed it. --allow-rsa-only accepts it.

Examples:
  $ signet cert refresh
  $ signet cert refresh prod --dry-run`;

const FETCH_HELP = `
The certificate is public. If you keep it in Git, anyone can seal without access to the cluster. In a
repository with signet.yaml, \`signet cert refresh\` does this for you.

Example:
  $ signet cert fetch --context prod --output prod.pem
  $ signet seal --cert prod.pem secret.yaml`;

const SHOW_HELP = `
Without FILE or URL, this shows the certificate of the only cluster in signet.yaml. Without signet.yaml, it
shows the one from $SEALED_SECRETS_CERT or from the kubeconfig's cluster. If signet.yaml has several clusters,
name the file: \`signet cert\` lists them.

Example:
  $ signet cert show cert.pem
  source       cert.pem
  fingerprint  SHA256:pV1EkPSmXA6h2Ab4Gc9q2dV7xTn0uYwLr8sJfKz3Bto
  key          RSA, 4096 bits
  ...`;

const asked = <F extends Connected<object>>(flags: F): F & ReturnType<typeof clusterOptions> => ({
  ...flags,
  ...clusterOptions(connection(flags) as GivenClusterOptions),
});

export function define(command: Command): void {
  command
    .usage("[COMMAND] [OPTION...]")
    .description("Show, fetch and refresh the certificates that Secrets are sealed with.")
    .helpCommand(false);
  command
    .command("list", { isDefault: true })
    .usage("[OPTION...]")
    .summary("list the certificates of signet.yaml and when they expire (the default)")
    .description("List the certificates of the clusters in signet.yaml.")
    .addOption(factFormatOption())
    .addOption(factJsonOption())
    .addHelpText("after", LIST_HELP)
    .action((flags: { readonly format: FactFormat }) => runCertList(flags));
  withConnection(
    command
      .command("refresh")
      .argument("[CLUSTER...]")
      .usage("[OPTION...] [CLUSTER...]")
      .summary("fetch the newest certificates into the repository")
      .description("Fetch the newest certificate of each cluster in signet.yaml.")
      .addOption(
        flag("--allow-rsa-only", "accept an RSA certificate in place of a post-quantum one"),
      )
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", REFRESH_HELP)
    .action((names: string[], flags: Connected<RefreshOptions>) =>
      runCertRefresh(names, connection(flags)),
    );
  withConnection(
    command
      .command("fetch")
      .usage("[OPTION...]")
      .summary("print the certificate that the controller seals with")
      .description("Fetch the sealing certificate, by default from the cluster's controller.")
      .addOption(new Option("--cert <URL>", "fetch it from this address instead"))
      .addOption(pinOption())
      .option("-w, --output <FILE>", "write to this file instead of standard output"),
  )
    .addHelpText("after", FETCH_HELP)
    .action((flags: Connected<{ cert?: string; certFingerprint?: string; output?: string }>) =>
      runCertFetch(asked(flags)),
    );
  withConnection(
    command
      .command("show")
      .argument("[FILE|URL]")
      .usage("[OPTION...] [FILE|URL]")
      .summary("print a certificate's fingerprint and validity")
      .description("Show a certificate: fingerprint, key size, validity, days left.")
      .addOption(factFormatOption())
      .addOption(factJsonOption()),
  )
    .addHelpText("after", SHOW_HELP)
    .action((named: string | undefined, flags: Connected<{ format: FactFormat }>) =>
      runCertShow(named, asked(flags)),
    );
}

/** @throws SignetError io, network, certificate-invalid */
async function runCertFetch(
  options: CertificateOptions & { readonly output?: string },
): Promise<void> {
  const found = await findCertificate(options);
  const { certificate, source } = found;
  const now = new Date();
  if (now > certificate.notAfter) {
    warn(`${source}: the certificate expired on ${certificate.notAfter.toISOString()}`);
  }
  warnOfCertificate(found, now);
  if (options.output === undefined) await printResult(certificate.pem);
  else await writeFiles([{ path: options.output, root: undefined, text: certificate.pem }]);
}

/** @throws SignetError io, network, certificate-invalid */
async function runCertShow(
  named: string | undefined,
  options: CertificateOptions & { readonly format: FactFormat },
): Promise<void> {
  const { certificate, source } =
    named === undefined
      ? ((options.context === undefined ? certificateOfProject() : null) ??
        (await findCertificate(options)))
      : await readCertificate(named, options.requestTimeoutMs);
  const { fingerprint, bits, notBefore, notAfter, pem, kinds } = certificate;
  const now = new Date();
  // One attribute per line. Undefined, despite its type, for an empty name, as in certificates of
  // the original.
  const name = new X509Certificate(pem).subject as string | undefined;
  const subject = (name ?? "").split("\n").join(", ");
  const left = daysLeft(certificate, now);
  const facts = {
    source,
    fingerprint,
    bits,
    algorithms: kinds,
    subject,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    daysLeft: left,
    valid: now >= notBefore && now <= notAfter,
  };
  const remaining =
    now > notAfter ? "expired" : now < notBefore ? "not valid yet" : `${count(left, "day")} left`;
  const lines: Line[] = [
    `source       ${source}`,
    `fingerprint  ${fingerprint}`,
    `key          RSA, ${bits} bits${kinds.includes(HYBRID) ? "; post-quantum, X-Wing" : ""}`,
    `subject      ${subject === "" ? "(none)" : subject}`,
    `valid from   ${facts.notBefore}`,
    [`valid until  ${facts.notAfter} (`, styled(remaining, facts.valid ? undefined : "red"), ")"],
  ];
  await printFacts(options.format, {
    value: facts,
    lines: () => lines,
    wide: () => lines,
    names: () => [fingerprint],
  });
}

/**
 * The certificate that `signet seal` uses where signet.yaml leaves no choice.
 * @throws SignetError
 */
function certificateOfProject(): { certificate: Certificate; source: string } | null {
  const project = findProject();
  const cluster = project === null ? null : new Certificates({}, project).clusterFor(undefined);
  if (project === null) return null;
  if (cluster === null) {
    if (project.clusters.size < 2 || certificateFromEnvironment() !== undefined) return null;
    // The kubeconfig's current cluster, which anything may have changed, chooses none of them.
    throw new SignetError("usage", "signet.yaml has several clusters, and no file was named", {
      hint: "name the file of one: `signet cert` lists them",
    });
  }
  const keys = clusterKeys(project, cluster);
  return { certificate: currentCertificate(keys), source: keys.file };
}

/** The certificates of signet.yaml's clusters. @throws SignetError project-invalid, io */
async function runCertList({ format }: { readonly format: FactFormat }): Promise<void> {
  const project = needProject();
  const now = new Date();
  const facts = [...project.clusters.values()].map((cluster) => {
    const { current, file, known } = clusterKeys(project, cluster);
    return {
      cluster: cluster.name,
      file,
      fingerprint: current?.fingerprint ?? null,
      notBefore: current?.notBefore.toISOString() ?? null,
      notAfter: current?.notAfter.toISOString() ?? null,
      daysLeft: current === null ? null : daysLeft(current, now),
      formerKeys: Math.max(0, known.size - 1),
    };
  });
  const rows = (isWide: boolean): Part[][] =>
    facts.map(({ cluster, fingerprint, notBefore, daysLeft: left, formerKeys, file }) => [
      cluster,
      fingerprint === null ? "-" : isWide ? fingerprint : shortFingerprint(fingerprint),
      notBefore?.slice(0, 10) ?? "-",
      left === null
        ? styled("not fetched yet", "yellow")
        : left < 0
          ? styledState("EXPIRED")
          : count(left, "day"),
      String(formerKeys),
      file,
    ]);
  const heads = ["CLUSTER", "KEY", "SINCE", "VALID FOR", "FORMER KEYS", "FILE"];
  await printFacts(format, {
    value: { clusters: facts },
    lines: () => table([heads, ...rows(false)]),
    wide: () => table([heads, ...rows(true)], Infinity),
    names: () => facts.map(({ cluster }) => cluster),
  });
}

/** The keys of each cluster, without those whose file cannot be parsed. */
function readableKeys(project: Project): ClusterKeys[] {
  return [...project.clusters.values()].flatMap((cluster) => {
    try {
      return [clusterKeys(project, cluster)];
    } catch (error) {
      if (error instanceof SignetError) return [];
      throw error;
    }
  });
}

/** The recovery files of a cluster's keys that are new or changed. @throws SignetError network, io */
async function refreshedRecovery(
  project: Project,
  { cluster, known }: ClusterKeys,
  newest: Certificate,
  options: GivenClusterOptions,
): Promise<Output[]> {
  const published = await fetchPublished(cluster, options);
  if (published === null) {
    if (cluster.recovery !== undefined) {
      warn(`${cluster.name}: its controller has no recovery recipients, or does not support them`);
    }
    return [];
  }
  if (!published.some(({ fingerprint }) => fingerprint === newest.fingerprint)) {
    warn(`${cluster.name}: its newest key cannot be recovered yet: see the controller's log`);
  }
  const all = new Map([...known, [newest.fingerprint, newest]]);
  return recoveryOutputs(project, { cluster, known: all }, published);
}

function tellRecovery(
  project: Project,
  cluster: ProjectCluster,
  files: number,
  dryRun: boolean,
): void {
  if (files === 0) return;
  const folder = recoveryPath(project, cluster, "");
  say(`${folder}: ${count(files, "recovery file")} ${dryRun ? "would be new" : "new"}`);
  if (cluster.recovery !== undefined) return;
  say(
    `hint: with \`recovery: ${recoveryFolder(cluster)}\` under clusters.${cluster.name}, ` +
      "`signet verify` fails if a key has no recovery file",
  );
}

/** Whether a certificate has the same keys as the current one. */
function isSame({ fingerprint, kinds }: Certificate, current: Certificate | null): boolean {
  return fingerprint === current?.fingerprint && kinds.join() === current.kinds.join();
}

interface RefreshOptions {
  /** Accept a certificate without a post-quantum key even if an earlier one has it. */
  readonly allowRsaOnly: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** @throws SignetError, or an AggregateError of them; the other clusters are refreshed */
async function runCertRefresh(
  names: readonly string[],
  options: GivenClusterOptions & RefreshOptions,
): Promise<void> {
  const project = needProject();
  const clusters =
    names.length === 0
      ? [...project.clusters.values()]
      : [...new Set(names)].map((name) => clusterNamed(project, name));
  const known = readableKeys(project);
  const newest = new Map<string, Certificate>();
  const outputs: Output[] = [];
  const errors: SignetError[] = [];
  const facts: object[] = [];
  for (const cluster of clusters) {
    try {
      const keys = clusterKeys(project, cluster);
      const { certificate } = await fetchClusterCertificate(cluster, options);
      checkNotOfOther(certificate, keys, known, newest);
      if (!options.allowRsaOnly) {
        const hadHybrid = (): boolean => committedHybrid(project)(cluster);
        checkKeepsHybrid(certificate, keys, "--allow-rsa-only", hadHybrid);
      }
      newest.set(cluster.name, certificate);
      const changed = !isSame(certificate, keys.current);
      const text = withNewest(certificate, keys);
      if (changed) outputs.push(certificateOutput(project, cluster, text));
      const recovery = await refreshedRecovery(project, keys, certificate, options);
      outputs.push(...recovery);
      const { fingerprint } = certificate;
      facts.push({
        cluster: cluster.name,
        fingerprint,
        changed,
        recoveryFiles: recovery.map(({ path }) => relative(process.cwd(), path)),
      });
      if (!options.json) {
        const state = changed ? (options.dryRun ? "would be new" : "new") : "unchanged";
        const left = daysLeft(certificate, new Date());
        const remaining = left < 0 ? "EXPIRED" : `${count(left, "day")} left`;
        say(`${cluster.name}: ${certificate.fingerprint}, ${remaining}: ${state}`);
        tellRecovery(project, cluster, recovery.length, options.dryRun);
      }
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      const { code, message, hint, place } = error;
      const words = [formatPlace(place), message].filter((part) => part !== "").join(": ");
      const details = { place: { object: cluster.name }, cause: error };
      errors.push(
        new SignetError(code, words, hint === undefined ? details : { ...details, hint }),
      );
    }
  }
  if (!options.dryRun) await writeFiles(outputs);
  if (options.json) await printJson({ dryRun: options.dryRun, clusters: facts });
  throwAll(errors);
}
