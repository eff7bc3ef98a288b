// `signet reseal`: re-seals every value that is not sealed with its cluster's newest key.
// SPEC.md, "Whole repositories".

import type { Command } from "commander";
import { writeFiles } from "../../../host/writefiles.ts";
import { RSA } from "../../../shared/envelopes/rsa.ts";
import { locate, SignetError, throwAll } from "../../../shared/errors.ts";
import type { Certificate } from "../../../shared/keys/keykind.ts";
import { sealingIn } from "../../../shared/keys/kinds.ts";
import { checkNotExpired } from "../../../shared/keys/certificate.ts";
import { findCertificate } from "../../cluster/certificatesource.ts";
import {
  algorithmOption,
  clusterOption,
  type Connected,
  connection,
  dryRunOption,
  jsonOption,
  recoveryIdentityOption,
  recoveryKeyOption,
  withConnection,
} from "../../options.ts";
import {
  certificateOutput,
  checkKeepsHybrid,
  checkNotOfOther,
  type ClusterKeys,
  currentCertificate,
  type GivenCertificate,
  projectClusterOptions,
  withNewest,
} from "../../repository/clustercertificates.ts";
import { withoutAllowed } from "../../repository/allowedfiles.ts";
import { areKeysGiven, type GivenKeys } from "../../repository/openingkeys.ts";
import { clusterNamed, needProject } from "../../repository/project.ts";
import type { Project } from "../../repository/projectfile.ts";
import {
  type Inventory,
  isChartTemplate,
  readingOf,
  readSealedFiles,
} from "../../repository/sealedfiles.ts";
import { say, warn } from "../../terminal/messages.ts";
import { printJson, printResult } from "../../terminal/results.ts";
import { count, shortFingerprint } from "../../terminal/counts.ts";
import { type Resealed, ResealWork, resultOf, staleItems } from "./resealwork.ts";

const HELP = `
Each cluster's controller opens and re-seals the values, so no plaintext and no private key leave it. With
--recovery-key or --recovery-identity, this is done locally and offline, with the certificate in the
repository. Values that are already sealed with the newest key stay unchanged, and so does every other line.

By default, RSA values stay RSA, and hybrid values stay hybrid. --algorithm hybrid moves all of them to the
post-quantum key, and --algorithm rsa moves them back.

You can stop the command at any time and run it again: it replaces each file as a whole, and skips values that
are done. The summary on standard output is Markdown, for a pull request.

Examples:
  $ signet reseal --dry-run
  $ signet reseal > summary.md
  $ signet reseal prod --algorithm hybrid
  $ signet reseal prod --recovery-key backup.age`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Re-seal a repository's stale values with each cluster's newest key.")
      .addOption(recoveryKeyOption("private key to open values with, locally and offline"))
      .addOption(recoveryIdentityOption())
      .addOption(
        algorithmOption("seal every value with this algorithm (default: keep that of each value)"),
      )
      .addOption(clusterOption())
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<ResealOptions>) =>
      runReseal(paths, connection(flags)),
    );
}

/** With keys, values are opened locally and offline; otherwise, by the controller. */
interface ResealOptions extends GivenCertificate, GivenKeys {
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * A failure is reported at the end and does not stop the rest; a second run does only what is left.
 * @throws SignetError, or an AggregateError of them
 */
async function runReseal(paths: readonly string[], options: ResealOptions): Promise<void> {
  const project = needProject();
  if (options.cluster !== undefined) clusterNamed(project, options.cluster);
  const { inventory, allowed } = withoutAllowed(readSealedFiles(paths, project), project);
  const { files, unreadable, clusters } = inventory;
  const newest = new Map<string, Certificate>();
  const isTemplate = ({ place }: SignetError): boolean => isChartTemplate(place.file ?? "");
  const failed = unreadable.filter((error) => !isTemplate(error));
  for (const { place } of unreadable.filter(isTemplate)) {
    warn(`${place.file ?? ""}: skipped, as it is a chart's template`);
  }
  for (const [name, keys] of clusters) {
    const isWanted = options.cluster === undefined || options.cluster === name;
    const isUsed = files.some(({ objects }) =>
      objects.some(({ meaning }) => meaning?.cluster.name === name),
    );
    if (!isWanted || !isUsed) continue;
    try {
      const certificate = await newestCertificate(keys, options);
      checkNotOfOther(certificate, keys, clusters.values(), newest);
      if (options.algorithm !== RSA) checkKeepsHybrid(certificate, keys, "--algorithm rsa");
      if (options.algorithm !== undefined) sealingIn(certificate, options.algorithm);
      newest.set(name, certificate);
      if (!options.dryRun) await keepNewest(project, keys, certificate);
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      failed.push(error.at({ object: name }));
    }
  }
  const stale = files.flatMap((file) =>
    file.objects.flatMap((object) => {
      const certificate = newest.get(object.meaning?.cluster.name ?? "");
      return certificate !== undefined &&
        staleItems(object, certificate, options.algorithm).length > 0
        ? [{ file, object, certificate }]
        : [];
    }),
  );
  const astray = files.filter(({ objects }) => objects.some(({ meaning }) => meaning === null));
  if (astray.length > 0 && options.cluster === undefined) {
    const verb = astray.length === 1 ? "fits" : "fit";
    warn(`${count(astray.length, "file")} ${verb} no path of signet.yaml; skipped`);
  }
  const work = new ResealWork(stale, options);
  if (!options.dryRun && stale.length > 0) await work.run();
  const done = options.dryRun
    ? stale.map(({ file, object, certificate }) =>
        resultOf(file, object, certificate, options.algorithm),
      )
    : work.done.sort((a, b) => order([a.file, a.name], [b.file, b.name]));
  failed.push(
    ...work.errors.sort(({ place: a }, { place: b }) =>
      order([a.file, a.object], [b.file, b.object]),
    ),
  );
  const isAny = files.some(({ objects }) =>
    objects.some(({ meaning }) => newest.has(meaning?.cluster.name ?? "")),
  );
  await printOutcome({ done, failed, isAny }, { inventory, allowed }, options);
  throwAll(failed);
}

/** `isAny`: whether there is a SealedSecret for a cluster whose newest key is known. */
async function printOutcome(
  { done, failed, isAny }: { done: Resealed[]; failed: SignetError[]; isAny: boolean },
  { inventory, allowed }: { inventory: Inventory; allowed: number },
  { dryRun, json }: ResealOptions,
): Promise<void> {
  if (json) {
    const told = failed.map(({ place, message }) => ({ ...place, message }));
    await printJson({
      dryRun,
      resealed: done,
      failed: told,
      counts: {
        files: inventory.files.length,
        otherFiles: inventory.otherFiles,
        unreadable: inventory.unreadable.length,
        skipped: inventory.skipped,
        allowed,
      },
    });
  } else if (done.length > 0 || failed.length === 0) {
    await printResult(
      isAny
        ? summary(done, dryRun, readingOf(inventory))
        : `No SealedSecrets found: nothing to re-seal. Files: ${readingOf(inventory)}.\n`,
    );
  }
}

/** Results arrive in any order; they are sorted by file and name. */
function order(
  one: readonly (string | undefined)[],
  other: readonly (string | undefined)[],
): number {
  const [left, right] = [one.join("\n"), other.join("\n")];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Offline, the certificate in the repository; otherwise, that of the controller. */
async function newestCertificate(keys: ClusterKeys, options: ResealOptions): Promise<Certificate> {
  const { cluster, file } = keys;
  if (areKeysGiven(options)) {
    const current = currentCertificate(keys);
    locate({ file }, () => {
      checkNotExpired(current, new Date(), `signet cert refresh ${cluster.name}`);
    });
    return current;
  }
  // From the controller itself, even if the certificate usually comes from a URL.
  const { certificate } = await findCertificate({
    ...projectClusterOptions(cluster, options),
    certFromEnvironment: false,
    // It seals with its newest key, which it may not have published yet.
    fromController: true,
  });
  return certificate;
}

/** Stores it in the repository, for everyone who seals from now on. */
async function keepNewest(
  project: Project,
  keys: ClusterKeys,
  certificate: Certificate,
): Promise<void> {
  const { cluster, current, file } = keys;
  if (certificate.fingerprint === current?.fingerprint) return;
  await writeFiles([certificateOutput(project, cluster, withNewest(certificate, keys))]);
  say(`${file}: the newest key of ${cluster.name} is ${shortFingerprint(certificate.fingerprint)}`);
}

/** Markdown, for the text of a pull request. */
function summary(done: readonly Resealed[], dryRun: boolean, reading: string): string {
  if (done.length === 0) {
    return `Every value is sealed with its cluster's newest key. Files: ${reading}.\n`;
  }
  const values = done.reduce((sum, { items }) => sum + items.length, 0);
  const files = new Set(done.map(({ file }) => file)).size;
  const rows = done.map(
    ({ cluster, name, items, file }) => `| ${cluster} | ${name} | ${items.join(", ")} | ${file} |`,
  );
  const keys = new Map(done.map(({ cluster, fingerprint }) => [cluster, fingerprint]));
  return [
    `## ${dryRun ? "To be re-sealed" : "Re-sealed"}: ${count(values, "value")} in ${count(files, "file")}`,
    "",
    ...[...keys].map(([cluster, fingerprint]) => `- ${cluster}: with key \`${fingerprint}\``),
    "- The values themselves are unchanged: after the sync, every Secret is the same as before.",
    "",
    "| cluster | SealedSecret | values | file |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}
