// `signet page`: writes the page where people seal in a browser, as one file.
// SPEC.md, "The page".

import { type Command, Option } from "commander";
import { readNamed } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { parseCertificates } from "../../shared/keys/certificate.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { locate, SignetError } from "../../shared/errors.ts";
import { type PageCluster, sealingPage } from "../../shared/sealingpage.ts";
import { daysLeft } from "../cluster/certificatesource.ts";
import { list } from "../options.ts";
import { clusterKeys } from "../repository/clustercertificates.ts";
import { clusterNamed, findProject } from "../repository/project.ts";
import type { Project } from "../repository/projectfile.ts";
import { count, shortFingerprint } from "../terminal/counts.ts";
import { say, warn } from "../terminal/messages.ts";
import { printResult } from "../terminal/results.ts";

const HELP = `
The page is one HTML file that needs no server: open it in a browser, or send it to people who do not
use a terminal. It encrypts values in the browser and sends nothing over the network. It can create new
SealedSecrets, and change items of existing ones.

The page contains the public certificates of the clusters in signet.yaml, so write it again after
\`signet cert refresh\`. Without signet.yaml and --cert, users add a certificate in the page.

Examples:
  $ signet page -o seal.html
  $ signet page --cluster prod --cluster dev -o seal.html
  $ signet page --cert sealing.pem -o seal.html`;

interface PageOptions {
  readonly output?: string;
  readonly cluster: readonly string[];
  readonly cert?: string;
}

export function define(command: Command): void {
  command
    .usage("[OPTION...]")
    .description("Write a web page for sealing in a browser, as one HTML file.")
    .option("-o, --output <FILE>", "write to this file instead of standard output")
    .addOption(
      list("--cluster <NAME>", "include only this cluster of signet.yaml; may be repeated"),
    )
    .addOption(
      new Option("--cert <FILE>", "use the certificates of this file instead of signet.yaml"),
    )
    .addHelpText("after", HELP)
    .action((options: PageOptions) => runPage(options));
}

/** @throws SignetError; then nothing is written */
async function runPage(options: PageOptions): Promise<void> {
  const { cert, cluster: names, output } = options;
  if (cert !== undefined && names.length > 0) {
    throw new SignetError("usage", "--cert and --cluster are mutually exclusive");
  }
  const project = cert === undefined ? findProject() : null;
  if (names.length > 0 && project === null) {
    throw new SignetError("usage", "--cluster requires signet.yaml, which was not found", {
      hint: "run `signet init` to create it, or use --cert FILE",
    });
  }
  const clusters = cert === undefined ? clustersOf(project, names) : [clusterInFile(cert)];
  const text = sealingPage({
    clusters,
    ...(project?.scope === undefined ? {} : { scope: project.scope }),
    ...(project === null ? {} : { newFile: project.newFile }),
  });
  if (clusters.length === 0) warn("the page has no certificate: its users must add one");
  if (output === undefined) {
    await printResult(text);
    return;
  }
  await writeFiles([{ path: output, root: undefined, text }]);
  const held = clusters.map(({ name }) => name).join(", ");
  say(`${output}: a page for ${held === "" ? "any cluster" : held}`);
}

function clustersOf(project: Project | null, names: readonly string[]): PageCluster[] {
  if (project === null) return [];
  const wanted =
    names.length === 0
      ? [...project.clusters.values()]
      : [...new Set(names)].map((name) => clusterNamed(project, name));
  return wanted.flatMap((cluster) => {
    const { current, known, file } = clusterKeys(project, cluster);
    if (current !== null) return [withCertificates(cluster.name, file, [...known.values()])];
    if (names.length > 0) {
      throw new SignetError("certificate-invalid", "certificate file not found", {
        hint: `run \`signet cert refresh ${cluster.name}\` to fetch it`,
        place: { file },
      });
    }
    warn(`${file}: not found, so ${cluster.name} is left out`);
    return [];
  });
}

/** @throws SignetError io, certificate-invalid */
function clusterInFile(file: string): PageCluster {
  const certificates = locate({ file }, () => parseCertificates(readNamed(file)));
  return withCertificates("cluster", file, certificates);
}

/** Only certificates go into the page, whatever else their file contains. */
function withCertificates(
  name: string,
  file: string,
  certificates: readonly Certificate[],
): PageCluster {
  const [current] = certificates;
  if (current !== undefined) {
    const left = daysLeft(current, new Date());
    const key = shortFingerprint(current.fingerprint);
    if (left < 0)
      warn(`${file}: the certificate ${key} has expired: the page cannot seal for ${name}`);
    else if (left < 30) warn(`${file}: the certificate ${key} expires in ${count(left, "day")}`);
  }
  return { name, certificates: certificates.map(({ pem }) => pem).join("") };
}
