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
The controller counts what is in its cluster. Before you retire a key, think of Git: an older commit,
or a file that was never applied, may still be under it. \`signet status --live\` counts both.

Examples:
  $ signet keys
  $ signet keys --json | jq -r '.keys[] | select(.unused) | .secret'`;

const PLACE_HELP = `
It says first which cluster it works on. In a repository of several clusters, name one: --cluster or --context. Where signet.yaml chose a part of that place (context, namespace or
name of the controller), it asks whether it is right; without a terminal, say it with the flags.`;

const ROTATE_HELP = `
The controller makes the key; the older ones still open what is under them. It needs the right to
annotate the key Secret.

Example:
  $ signet keys rotate --cluster prod && signet cert refresh prod && signet reseal --cluster prod`;

const BACKUP_HELP = `
One file holds every key that the cluster has, also those that are retired: locked with a passphrase
(at least 12 characters), or for age recipients. It is a file of age: \`age --decrypt\` opens it as well. It needs the right to read
the key Secrets. Nothing is written in plain text.

{date} in the file's name is the time, such as 20261125T031700Z, for a job that runs again and again.
--keep is about files of that very name, the date aside; the oldest go, once the new one is there. An older
one may hold keys that have been deleted since.

Examples:
  $ signet keys backup --output prod.age
  $ signet keys backup --output prod.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  $ signet keys backup --output 'backups/prod-{date}.age' --keep 90 --recipient age1...`;

const CREATE_HELP = `
For a cluster whose key you want to have before its controller runs, or to keep where no cluster can lose
it. Nothing is asked of a cluster. The key is only in the locked file, which \`signet keys restore FILE --adopt
FINGERPRINT\` puts into a cluster; the certificate is public, and seals at once.

Examples:
  $ signet keys create --hybrid --output prod.age --cert certificates/prod.pem
  $ signet keys create --hybrid --output prod.age --cert prod.pem --recipient age1...`;

const RESTORE_HELP = `
It shows the keys and asks. They open, and none of them seals: a backup can be forged, as anyone who
knows the recipient can make one. So the key that seals stays the same; in a new cluster that is the one
that its controller made. --adopt lets a key of the backup seal too: give its fingerprint as you know it
from elsewhere, such as the certificate in Git. \`signet keys adopt\` does the same later.

Without FILE, --recovery-identity opens the recovery files that the repository has of the cluster's keys.
FILE may also be a list of key Secrets in plain text, as \`kubectl get secret --output yaml\` prints it.
Keys that are there already are left alone, so that it may be run again. It waits until the controller
holds them; every SealedSecret that they open follows by itself.

Examples:
  $ signet keys restore prod.age --context new-prod
  $ signet keys restore prod.age --context new-prod --identity restore.key --yes
  $ signet keys restore --cluster prod --recovery-identity recovery.key`;

const DRILL_HELP = `
It reads the repository and the keys that you give, and asks no cluster: what is sealed is opened, and
dropped. A value that no key opens would be lost with the cluster. So would what is sealed next, if the key
that seals cannot be recovered. --record writes last-drill.json beside the recovery files; \`signet verify\`
warns where it is older than maxDrillAge of signet.yaml. --metrics writes what Prometheus reads, for a job to
push: the chart's alerts fire where a drill found a loss, and where the last one is too old.

Exit status: 0 all comes back, 3 something would be lost, 1 it could not run.

Examples:
  $ signet keys drill --cluster prod --recovery-identity recovery.key
  $ signet keys drill --recovery-identity recovery.key --record --json
  $ signet keys drill --wrapped-key keys/prod --kms-provider aws --kms-key alias/signet`;

const SHARES_HELP = `
Where it takes several holders to recover a key (--recovery-quorum of the controller), each of them opens
the own shares, and hands them to the one who recovers: --recipient locks them for that one.
--recovery-identity of all commands takes files of shares, too, and puts them together.

Examples:
  $ signet keys shares --cluster prod --recovery-identity mine.key --recipient age1... --output mine.age
  $ signet keys drill --cluster prod --recovery-identity anna.shares --recovery-identity ben.shares`;

const COMBINE_HELP = `
The identities open the recovery files of the repository with \`age --decrypt\` alone.

Example:
  $ signet keys combine anna.shares ben.shares --output identities.key`;

const ADOPT_HELP = `
A key that neither the controller made nor a person confirmed is unconfirmed: it opens values and never
seals. It may be one of a backup, one that you brought along, or one that an attacker put there. KEY is the
name of its Secret, its fingerprint or the beginning of it. It shows the key, which key seals now and which
one will, and asks. --undo takes it back: the key opens only, until you adopt it again.

Where there is nobody to ask, it needs --yes, and the whole fingerprint: a name says nothing about the key.

Examples:
  $ signet keys adopt sealed-secrets-keyx7k2p --context prod
  $ signet keys adopt SHA256:pV1EkPSmXA6h2Ab4Gc9q2dV7xTn0uYwLr8sJfKz3Bto --context prod --yes
  $ signet keys adopt --undo sealed-secrets-keyx7k2p --context prod`;

const yesOption = (): Option => flag("--yes", "do not ask whether to do it");

const waitOption = (): Option => new Option("--no-wait", "do not wait for the controller");

const RETIRE_HELP = `
KEY is the name of the key's Secret, its fingerprint or the beginning of it. The Secret stays, relabelled,
and the controller opens nothing with it any more. Refused while a value in the cluster or in this
repository's files is under it, or may be.

Example:
  $ signet keys retire SHA256:pV1EkPSm --cluster prod`;

const WRAPPING_HELP = `
KEY is the name of a key's Secret, its fingerprint or the beginning of it; without any, all keys that it
applies to. The controller does it, with its own key service (--kms-provider), and this command waits. It
needs the right to annotate the key Secrets. A key is stored in its next form, read again and opened
before the Secret before is deleted, and opens values all the time.`;

const WRAP_HELP = `
A key that ever lay in plain text may be in a backup of etcd. The controller has made another one, which
seals: re-seal what is under the old keys, then retire them.

Example:
  $ signet keys wrap --cluster prod`;

const REWRAP_HELP = `
Do this after the key of the service was rotated, and before an old version of it is disabled.

Example:
  $ signet keys rewrap --cluster prod`;

const UNWRAP_HELP = `
The controller refuses unless it runs with --kms-mode leave: a right to annotate Secrets must not be
enough to see a key in plain text.

Example:
  $ signet keys unwrap --cluster prod`;

const keepOption = (): Option =>
  new Option("--keep <N>", "remove all but the newest N of such files").argParser(
    (text: string) => {
      if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("it is no number above 0");
      return Number(text);
    },
  );

/** Requires --cluster where files of the repository count. @throws SignetError usage */
function needCluster(flags: KeyFlags): void {
  const project = findProject();
  if (flags.cluster !== undefined || project === null || project.clusters.size === 0) return;
  throw new SignetError(
    "usage",
    "which cluster of signet.yaml is it? Its files are looked at too",
    {
      hint: `say --cluster: ${[...project.clusters.keys()].join(", ")}`,
    },
  );
}

const withPlace = (command: Command): Command =>
  withConnection(command.addOption(clusterOption()).addOption(jsonOption()));

type Flags<T = object> = Connected<KeyFlags & T>;

export function define(command: Command): void {
  command
    .usage("[COMMAND] [OPTION...]")
    .description(
      "Lists, renews, backs up, recovers, adopts, retires and wraps a cluster's sealing keys.",
    )
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
  defineWrapping(command, "wrap", "have stored keys wrapped by the key service", WRAP_HELP);
  defineWrapping(command, "rewrap", "have wrapped keys wrapped again", REWRAP_HELP);
  defineWrapping(command, "unwrap", "have wrapped keys stored in plain text", UNWRAP_HELP);
}

function defineList(command: Command): void {
  withPlace(
    command
      .command("list", { isDefault: true })
      .usage("[OPTION...]")
      .summary("list a cluster's sealing keys, and what is still under each (the default)")
      .description(
        "Lists the sealing keys of a cluster, how many values are still sealed under each, and " +
          "which one nothing needs any more.",
      )
      .addOption(factFormatOption()),
  )
    .addHelpText("after", LIST_HELP)
    .action(async (flags: Flags<{ readonly format: FactFormat }>) => {
      const { runKeysList } = await import("./list.ts");
      const format = flags.json ? "json" : flags.format;
      await runKeysList({ format, ...keyPlace(flags) });
    });
}

function defineRotate(command: Command): void {
  withPlace(
    command
      .command("rotate")
      .usage("[OPTION...]")
      .summary("have the controller make a new sealing key, now")
      .description("Has the controller make a new sealing key, which seals from now on.")
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
      .summary("all sealing keys in one locked file")
      .description("Writes all sealing keys of a cluster into one locked file.")
      .option("-w, --output <FILE>", "the file to write; {date} in its name is the time")
      .addOption(keepOption())
      .addOption(list("--recipient <AGE1...>", "lock it for an age recipient"))
      .option(
        "--passphrase-file <FILE>",
        "lock it with the first line of FILE, or of $SIGNET_PASSPHRASE_FILE",
      )
      .addOption(flag("--force", "replace the file that is there"))
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
    .summary("make a sealing key offline, in a locked file")
    .description("Makes a sealing key, offline: the key in a locked file, and its certificate.")
    .option("-w, --output <FILE>", "the locked file to write")
    .option("--cert <FILE>", "the certificate to write")
    .addOption(flag("--hybrid", "with a post-quantum half"))
    .addOption(list("--recipient <AGE1...>", "lock it for an age recipient"))
    .option(
      "--passphrase-file <FILE>",
      "lock it with the first line of FILE, or of $SIGNET_PASSPHRASE_FILE",
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
      .summary("put the keys of a backup, or of the repository, into a cluster")
      .description(
        "Puts the keys of a backup, or of the repository's recovery files, into a cluster.",
      )
      .option(
        "--passphrase-file <FILE>",
        "unlock it with the first line of FILE, or of $SIGNET_PASSPHRASE_FILE",
      )
      .addOption(
        list("--identity <FILE>", "age identities to unlock it with, or $SIGNET_AGE_IDENTITY"),
      )
      .addOption(recoveryIdentityOption())
      .addOption(list("--adopt <SHA256:...>", "let the key with this fingerprint seal too"))
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
    .summary("try whether the repository would bring every value back")
    .description("Tries whether the repository and the keys at hand would bring every value back.")
    .addOption(recoveryIdentityOption())
    .addOption(recoveryKeyOption("private key or backup to try as well"));
  withWrappedKeys(drill)
    .addOption(clusterOption())
    .addOption(flag("--record", "write down in the repository what was found"))
    .option("--metrics <FILE>", "write what was found there, in Prometheus' text format")
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
    .summary("open your shares of keys that it takes several holders to recover")
    .description("Opens your shares of the sealing keys, where recovery takes several holders.")
    .addOption(clusterOption())
    .addOption(recoveryIdentityOption())
    .addOption(list("--recipient <AGE1...>", "lock them for who puts the shares together"))
    .option("-w, --output <FILE>", "write there, readable to you alone")
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
    .summary("put shares together to the identities that open the keys")
    .description("Puts shares of several holders together to the identities that open the keys.")
    .option("-w, --output <FILE>", "write there, readable to you alone")
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
      .summary("let a key that is in the cluster seal")
      .description("Lets a key that is in the cluster seal, or takes that back.")
      .addOption(flag("--undo", "take it back: the key opens only"))
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
      .summary("take an old key out of use, once nothing needs it")
      .description("Takes an old sealing key out of use, once nothing needs it.")
      .addOption(flag("--force", "also where something needs it"))
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
      .description(`${words.replace("have", "Has")}.`)
      .addOption(yesOption())
      .addOption(dryRunOption()),
  )
    .addHelpText("after", PLACE_HELP + "\n" + WRAPPING_HELP + "\n" + help)
    .action(async (named: string[], flags: Flags<{ yes: boolean; dryRun: boolean }>) => {
      const { runKeysWrapping } = await import("./wrapping.ts");
      await runKeysWrapping(request, named, { ...flags, ...keyPlace(flags) });
    });
}
