// Owns: the options and help of `signet cert`.
// Does not own: what it does (project/cert.ts). SPEC.md, "Command line", "Certificate".

import { type Command, Option } from "commander";
import { clusterOptions, type GivenClusterOptions } from "../cluster/kubeconfig.ts";
import { runCertFetch, runCertList, runCertRefresh, runCertShow } from "../project/cert.ts";
import {
  type Connected,
  connection,
  dryRunOption,
  jsonOption,
  pinOption,
  withConnection,
} from "./options.ts";

const LIST_HELP = `
Example:
  $ signet cert
  CLUSTER  KEY              SINCE       VALID FOR   FORMER KEYS  FILE
  prod     SHA256:pV1EkPSm  2026-11-02  3641 days   2            certificates/prod.pem`;

const REFRESH_HELP = `
The newest certificate comes first in the file; those before it stay, so that \`signet status\` knows
their values as this cluster's.

Examples:
  $ signet cert refresh
  $ signet cert refresh prod --dry-run`;

const FETCH_HELP = `
The certificate is public. Keep it in Git, and everybody can seal without access to the cluster. In a
repository with signet.yaml, \`signet cert refresh\` does that.

Example:
  $ signet cert fetch --context prod --output prod.pem
  $ signet seal --cert prod.pem secret.yaml`;

const SHOW_HELP = `
Without FILE or URL: the certificate that \`signet seal\` would use.

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
    .description("Shows, fetches and refreshes the certificates that Secrets are sealed with.")
    .helpCommand(false);
  command
    .command("list", { isDefault: true })
    .usage("[OPTION...]")
    .summary("list the certificates of signet.yaml, and when they end (the default)")
    .description("Lists the certificates of signet.yaml's clusters.")
    .addOption(jsonOption())
    .addHelpText("after", LIST_HELP)
    .action((flags: { json: boolean }) => runCertList(flags));
  withConnection(
    command
      .command("refresh")
      .argument("[CLUSTER...]")
      .usage("[OPTION...] [CLUSTER...]")
      .summary("fetch the newest certificates into the repository")
      .description("Fetches the newest certificate of each cluster of signet.yaml.")
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", REFRESH_HELP)
    .action((names: string[], flags: Connected<{ dryRun: boolean; json: boolean }>) =>
      runCertRefresh(names, connection(flags)),
    );
  withConnection(
    command
      .command("fetch")
      .usage("[OPTION...]")
      .summary("print the certificate that the controller seals with")
      .description("Fetches the sealing certificate, by default from the cluster's controller.")
      .addOption(new Option("--cert <URL>", "fetch it from there instead"))
      .addOption(pinOption())
      .option("-w, --output <FILE>", "write there instead of standard output"),
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
      .description("Shows a certificate: fingerprint, size, validity, days left.")
      .addOption(jsonOption()),
  )
    .addHelpText("after", SHOW_HELP)
    .action((named: string | undefined, flags: Connected<{ json: boolean }>) =>
      runCertShow(named, asked(flags)),
    );
}
