// `signet keys`: its subcommands, their options and help.
// SPEC.md, "Retirement of keys", "Backups".

import { type Command, InvalidArgumentError, Option } from "commander";
import { SignetError } from "../../../shared/errors.ts";
import { findProject } from "../../repository/project.ts";
import {
  clusterOption,
  type Connected,
  dryRunOption,
  factFormatOption,
  flag,
  jsonOption,
  list,
  recoveryIdentityOption,
  recoveryKeyOption,
  withConnection,
} from "../../options.ts";
import type { FactFormat } from "../../terminal/facts.ts";
import { type KeyFlags, keyPlace } from "./keyplace.ts";
import { withWrappedKeys, type WrappedKeyOptions } from "./wrappedkeyoptions.ts";

const LIST_HELP = `
The controller counts only what is in its cluster. Before you retire a key, consider Git: older commits, or
files that were never applied, may still need it. \`signet status --live\` counts files and cluster.

Examples:
  $ signet keys
  $ signet keys --json | jq -r '.keys[] | select(.unused) | .secret'`;

const PLACE_HELP = `
The command first prints which cluster it works on. If the repository has several clusters, choose one with
--cluster or --context. If the context, or the namespace or name of the controller, comes from signet.yaml,
the command asks for confirmation; without a terminal, set these with flags instead.`;

const ROTATE_HELP = `
The controller creates the key. Older keys still open the values that were sealed with them. You need
permission to annotate the key Secret.

Example:
  $ signet keys rotate --cluster prod && signet cert refresh prod && signet reseal --cluster prod`;

const BACKUP_HELP = `
The file contains every key of the cluster, including retired ones. It is encrypted with a passphrase (at
least 12 characters) or for age recipients, and \`age --decrypt\` can open it too. Nothing is written in plain
text. You need permission to read the key Secrets.

{date} in the file's name is replaced by the time, such as 20261125T031700Z, for jobs that run regularly. --keep
removes the oldest files whose names differ only in the date, once the new file is written. Note that an
older backup may contain keys that have since been deleted.

Examples:
  $ signet keys backup --output prod.age
  $ signet keys backup --output prod.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  $ signet keys backup --output 'backups/prod-{date}.age' --keep 90 --recipient age1...`;

const CREATE_HELP = `
Use this if you need a cluster's key before its controller runs, or want a copy that is not lost with the cluster.
It does not contact a cluster. The key is only in the encrypted file, which \`signet keys restore FILE --adopt
FINGERPRINT\` puts into a cluster. The certificate is public, and you can seal with it right away.

Examples:
  $ signet keys create --hybrid --output prod.age --cert certificates/prod.pem
  $ signet keys create --hybrid --output prod.age --cert prod.pem --recipient age1...`;

const RESTORE_HELP = `
This shows the keys and asks for confirmation. Restored keys can open values, but not seal: a backup can be
forged, as anyone who knows the recipient can create one. So the current sealing key stays the same; in a new
cluster, that is the one that its controller created. --adopt lets a restored key seal too: give its
fingerprint from a trusted source, such as the certificate in Git. You can also run \`signet keys adopt\` later.

Without FILE, --recovery-identity opens the repository's recovery files of the cluster's keys. FILE can also
be a list of key Secrets in plain text, as \`kubectl get secret --output yaml\` prints it. Existing keys are
left unchanged, so you can run this again. It waits until the controller has loaded the keys; the controller
then syncs every SealedSecret that they open.

Examples:
  $ signet keys restore prod.age --context new-prod
  $ signet keys restore prod.age --context new-prod --identity restore.key --yes
  $ signet keys restore --cluster prod --recovery-identity recovery.key`;

const DRILL_HELP = `
This opens every sealed value of the repository with the keys that you give, and discards the plaintext. It
does not contact a cluster. A value that no key opens would be lost with the cluster, and so would new values
if the current sealing key cannot be recovered.

--record writes last-drill.json next to the recovery files; \`signet verify\` warns if it is older than
maxDrillAge of signet.yaml. --metrics writes a file for Prometheus, for a job to push; the chart's alerts fire
if a drill found a loss, or if the last drill is too old.

Exit status: 0 everything can be recovered, 3 something would be lost, 1 the drill could not run.

Examples:
  $ signet keys drill --cluster prod --recovery-identity recovery.key
  $ signet keys drill --recovery-identity recovery.key --record --json
  $ signet keys drill --wrapped-key keys/prod --kms-provider aws --kms-key alias/signet`;

const SHARES_HELP = `
If recovering a key requires several holders (--recovery-quorum of the controller), each of them opens their
own shares, and gives them to the person who recovers the key. --recipient encrypts them for that person.
--recovery-identity of all commands also accepts files of shares, and combines them.

Examples:
  $ signet keys shares --cluster prod --recovery-identity mine.key --recipient age1... --output mine.age
  $ signet keys drill --cluster prod --recovery-identity anna.shares --recovery-identity ben.shares`;

const COMBINE_HELP = `
With these identities, \`age --decrypt\` opens the repository's recovery files, without signet.

Example:
  $ signet keys combine anna.shares ben.shares --output identities.key`;

const ADOPT_HELP = `
A key is unconfirmed if the controller did not create it and nobody confirmed it. It opens values, but never
seals. It may come from a backup, from you, or from an attacker. KEY is the name of its Secret, its
fingerprint, or the beginning of its fingerprint. The command shows the key, which key seals now and which one
will seal, and asks for confirmation. --undo stops the key from sealing, until you adopt it again.

Without a terminal, --yes and the full fingerprint are required, as a name says nothing about the key.

Examples:
  $ signet keys adopt sealed-secrets-keyx7k2p --context prod
  $ signet keys adopt SHA256:pV1EkPSmXA6h2Ab4Gc9q2dV7xTn0uYwLr8sJfKz3Bto --context prod --yes
  $ signet keys adopt --undo sealed-secrets-keyx7k2p --context prod`;

const yesOption = (): Option => flag("--yes", "do not ask for confirmation");

const waitOption = (): Option => new Option("--no-wait", "do not wait for the controller");

const RETIRE_HELP = `
KEY is the name of the key's Secret, its fingerprint, or the beginning of its fingerprint. The Secret is kept
with another label, and the controller no longer uses it. This is refused while values in the cluster or in
this repository's files need the key, or might need it.

Example:
  $ signet keys retire SHA256:pV1EkPSm --cluster prod`;

const WRAPPING_HELP = `
KEY is the name of a key's Secret, its fingerprint, or the beginning of its fingerprint (default: all keys
that this applies to). The controller does the work with its own key service (--kms-provider), and this
command waits for it. You need permission to annotate the key Secrets. Each key is stored in the new form, and
read back and opened, before its old Secret is deleted, so it can open values at all times.`;

const WRAP_HELP = `
A key that was ever stored in plain text may be in a backup of etcd. So the controller also creates a new
sealing key: re-seal the values of the old keys, then retire those keys.

Example:
  $ signet keys wrap --cluster prod`;

const REWRAP_HELP = `
Run this after the key service's own key was rotated, and before its old version is disabled.

Example:
  $ signet keys rewrap --cluster prod`;

const UNWRAP_HELP = `
The controller refuses unless it runs with --kms-mode leave: permission to annotate Secrets must not be
enough to get a key in plain text.

Example:
  $ signet keys unwrap --cluster prod`;

const keepOption = (): Option =>
  new Option("--keep <N>", "keep only the newest N of these files").argParser((text: string) => {
    if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("expected a number above 0");
    return Number(text);
  });

/** Requires --cluster if the repository's files matter. @throws SignetError usage */
function needCluster(flags: KeyFlags): void {
  const project = findProject();
  if (flags.cluster !== undefined || project === null || project.clusters.size === 0) return;
  throw new SignetError("usage", "no cluster was named, and its files must be checked too", {
    hint: `use --cluster to name one of ${[...project.clusters.keys()].join(", ")}`,
  });
}

const withPlace = (command: Command): Command =>
  withConnection(command.addOption(clusterOption()).addOption(jsonOption()));

type Flags<T = object> = Connected<KeyFlags & T>;

export function define(command: Command): void {
  command
    .usage("[COMMAND] [OPTION...]")
    .description("List, renew, back up, restore, adopt, retire and wrap a cluster's sealing keys.")
    .helpCommand(false);
  defineList(command);
  defineRotate(command);
  defineBackup(command);
  defineCreate(command);
  defineRestore(command);
  defineDrill(command);
  defineShares(command);
  defineAdopt(command);
  defineRetire(command);
  defineWrapping(command, "wrap", "wrap stored keys with the key service", WRAP_HELP);
  defineWrapping(command, "rewrap", "wrap wrapped keys again", REWRAP_HELP);
  defineWrapping(command, "unwrap", "store wrapped keys in plain text", UNWRAP_HELP);
}

function defineList(command: Command): void {
  withPlace(
    command
      .command("list", { isDefault: true })
      .usage("[OPTION...]")
      .summary("list a cluster's sealing keys, and how many values need each (the default)")
      .description(
        "List the sealing keys of a cluster, how many values are still sealed with each, and " +
          "which are no longer needed.",
      )
      .addOption(factFormatOption()),
  )
    .addHelpText("after", LIST_HELP)
    .action(async (flags: Flags<{ readonly format: FactFormat }>) => {
      const { runKeysList } = await import("./list.ts");
      const format = flags.json ? "json" : flags.format;
      await runKeysList({ ...keyPlace(flags), format });
    });
}

function defineRotate(command: Command): void {
  withPlace(
    command
      .command("rotate")
      .usage("[OPTION...]")
      .summary("make the controller create a new sealing key now")
      .description("Make the controller create a new sealing key and use it from now on.")
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + ROTATE_HELP)
    .action(async (flags: Flags<{ dryRun: boolean }>) => {
      const { runKeysRotate } = await import("./rotate.ts");
      await runKeysRotate({ ...flags, ...keyPlace(flags) });
    });
}

function defineBackup(command: Command): void {
  withPlace(
    command
      .command("backup")
      .usage("--output FILE [OPTION...]")
      .summary("back up all sealing keys to one encrypted file")
      .description("Back up all sealing keys of a cluster to one encrypted file.")
      .option("-w, --output <FILE>", "file to write; {date} in its name is replaced by the time")
      .addOption(keepOption())
      .addOption(list("--recipient <AGE1...>", "encrypt for this age recipient; may be repeated"))
      .option(
        "--passphrase-file <FILE>",
        "encrypt with the passphrase in the first line of FILE (default: $SIGNET_PASSPHRASE_FILE)",
      )
      .addOption(flag("--force", "replace an existing file"))
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + BACKUP_HELP)
    .action(
      async (
        flags: Flags<{
          output?: string;
          recipient: string[];
          passphraseFile?: string;
          keep?: number;
          force: boolean;
          dryRun: boolean;
        }>,
      ) => {
        const { runKeysBackup } = await import("./backup.ts");
        await runKeysBackup({ ...flags, ...keyPlace(flags) });
      },
    );
}

function defineCreate(command: Command): void {
  command
    .command("create")
    .usage("--output FILE --cert FILE [OPTION...]")
    .summary("create a sealing key offline, in an encrypted file")
    .description(
      "Create a sealing key offline, and write it to an encrypted file, with its certificate.",
    )
    .option("-w, --output <FILE>", "encrypted file to write the key to")
    .option("--cert <FILE>", "file to write the certificate to")
    .addOption(flag("--hybrid", "add a post-quantum half"))
    .addOption(list("--recipient <AGE1...>", "encrypt for this age recipient; may be repeated"))
    .option(
      "--passphrase-file <FILE>",
      "encrypt with the passphrase in the first line of FILE (default: $SIGNET_PASSPHRASE_FILE)",
    )
    .addOption(jsonOption())
    .addHelpText("after", CREATE_HELP)
    .action(
      async (flags: {
        output?: string;
        cert?: string;
        hybrid: boolean;
        recipient: string[];
        passphraseFile?: string;
        json: boolean;
      }) => {
        const { runKeysCreate } = await import("./create.ts");
        await runKeysCreate(flags);
      },
    );
}

function defineRestore(command: Command): void {
  withPlace(
    command
      .command("restore")
      .argument("[FILE]")
      .usage("[OPTION...] [FILE]")
      .summary("restore keys from a backup, or from the repository, to a cluster")
      .description(
        "Restore keys from a backup, or from the repository's recovery files, to a cluster.",
      )
      .option(
        "--passphrase-file <FILE>",
        "decrypt with the passphrase in the first line of FILE (default: $SIGNET_PASSPHRASE_FILE)",
      )
      .addOption(
        list(
          "--identity <FILE>",
          "decrypt with the age identities in FILE (default: $SIGNET_AGE_IDENTITY)",
        ),
      )
      .addOption(recoveryIdentityOption())
      .addOption(
        list(
          "--adopt <SHA256:...>",
          "also let the key with this fingerprint seal; may be repeated",
        ),
      )
      .addOption(waitOption())
      .addOption(yesOption())
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + RESTORE_HELP)
    .action(
      async (
        file: string | undefined,
        flags: Flags<{
          passphraseFile?: string;
          identity: string[];
          recoveryIdentity: string[];
          adopt: string[];
          wait: boolean;
          yes: boolean;
          dryRun: boolean;
        }>,
      ) => {
        const { runKeysRestore } = await import("./restore.ts");
        await runKeysRestore(file, { ...flags, ...keyPlace(flags) });
      },
    );
}

function defineDrill(command: Command): void {
  const drill = command
    .command("drill")
    .usage("--recovery-identity FILE [OPTION...]")
    .summary("check that every value of the repository can be recovered")
    .description(
      "Check that every value of the repository can be recovered with the keys that you give.",
    )
    .addOption(recoveryIdentityOption())
    .addOption(recoveryKeyOption("private key or backup to recover with; may be repeated"));
  withWrappedKeys(drill)
    .addOption(clusterOption())
    .addOption(flag("--record", "record the result in the repository"))
    .option("--metrics <FILE>", "write the result to FILE in Prometheus' text format")
    .addOption(jsonOption())
    .addHelpText("after", DRILL_HELP)
    .action(
      async (
        flags: WrappedKeyOptions & {
          recoveryIdentity: string[];
          recoveryKey: string[];
          cluster?: string;
          record: boolean;
          json: boolean;
        },
      ) => {
        const { runKeysDrill } = await import("./drill.ts");
        await runKeysDrill(flags);
      },
    );
}

function defineShares(command: Command): void {
  command
    .command("shares")
    .usage("--cluster NAME --recovery-identity FILE [OPTION...]")
    .summary("open your shares of keys whose recovery requires several holders")
    .description("Open your shares of the sealing keys, if recovery requires several holders.")
    .addOption(clusterOption())
    .addOption(recoveryIdentityOption())
    .addOption(list("--recipient <AGE1...>", "encrypt them for the person who combines the shares"))
    .option("-w, --output <FILE>", "write to this file, readable only by you")
    .addHelpText("after", SHARES_HELP)
    .action(
      async (flags: {
        cluster?: string;
        recoveryIdentity: string[];
        recipient: string[];
        output?: string;
      }) => {
        const { runKeysShares } = await import("./shares.ts");
        await runKeysShares(flags);
      },
    );
  command
    .command("combine")
    .argument("<FILE...>")
    .usage("[OPTION...] FILE...")
    .summary("combine shares into the identities that open the keys")
    .description("Combine the shares of several holders into the identities that open the keys.")
    .option("-w, --output <FILE>", "write to this file, readable only by you")
    .addHelpText("after", COMBINE_HELP)
    .action(async (files: string[], flags: { output?: string }) => {
      const { runKeysCombine } = await import("./shares.ts");
      await runKeysCombine(files, flags);
    });
}

function defineAdopt(command: Command): void {
  withPlace(
    command
      .command("adopt")
      .argument("<KEY>")
      .usage("[OPTION...] KEY")
      .summary("let an unconfirmed key in the cluster seal")
      .description("Let an unconfirmed key in the cluster seal, or undo that.")
      .addOption(flag("--undo", "stop the key from sealing"))
      .addOption(waitOption())
      .addOption(yesOption())
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + ADOPT_HELP)
    .action(
      async (
        key: string,
        flags: Flags<{ undo: boolean; wait: boolean; yes: boolean; dryRun: boolean }>,
      ) => {
        const { runKeysAdopt } = await import("./adopt.ts");
        await runKeysAdopt(key, { ...flags, ...keyPlace(flags) });
      },
    );
}

function defineRetire(command: Command): void {
  withPlace(
    command
      .command("retire")
      .argument("<KEY>")
      .usage("[OPTION...] KEY")
      .summary("retire an old sealing key that is no longer needed")
      .description("Retire an old sealing key that is no longer needed.")
      .addOption(flag("--force", "retire it even if it is still needed"))
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + RETIRE_HELP)
    .action(async (key: string, flags: Flags<{ force: boolean; dryRun: boolean }>) => {
      needCluster(flags);
      const { runKeysRetire } = await import("./retire.ts");
      await runKeysRetire(key, { ...flags, ...keyPlace(flags) });
    });
}

function defineWrapping(
  command: Command,
  request: "wrap" | "rewrap" | "unwrap",
  words: string,
  help: string,
): void {
  withPlace(
    command
      .command(request)
      .argument("[KEY...]")
      .usage("[OPTION...] [KEY...]")
      .summary(words)
      .description(`Make the controller ${words}.`)
      .addOption(yesOption())
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + WRAPPING_HELP + "\n" + help)
    .action(async (named: string[], flags: Flags<{ yes: boolean; dryRun: boolean }>) => {
      const { runKeysWrapping } = await import("./wrapping.ts");
      await runKeysWrapping(request, named, { ...flags, ...keyPlace(flags) });
    });
}
