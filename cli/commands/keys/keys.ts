// `signet keys`: its subcommands, their options and help.
// SPEC.md, "Retirement of keys", "Backups".

import { type Command, InvalidArgumentError, Option } from "commander";
import { SignetError } from "../../../shared/errors.ts";
import { clusterOptions, type ClusterOptions } from "../../cluster/clusteroptions.ts";
import { projectClusterOptions } from "../../repository/clustercertificates.ts";
import { clusterNamed, findProject } from "../../repository/project.ts";
import type { ProjectCluster } from "../../repository/projectfile.ts";
import {
  clusterOption,
  type Connected,
  connection,
  dryRunOption,
  flag,
  jsonOption,
  list,
  withConnection,
} from "../../options.ts";

const LIST_HELP = `
The controller counts what is in its cluster. Before you retire a key, think of Git: an older commit,
or a file that was never applied, may still be under it. \`signet status --live\` counts both.

Examples:
  $ signet keys
  $ signet keys --json | jq -r '.keys[] | select(.unused) | .secret'`;

const ROTATE_HELP = `
The controller makes the key; the older ones still open what is under them. It needs the right to
annotate the key Secret.

Example:
  $ signet keys rotate --cluster prod && signet cert refresh prod && signet reseal --cluster prod`;

const BACKUP_HELP = `
One file holds every key that the cluster has, also those that are retired: locked with a passphrase, or
for age recipients. It is a file of age: \`age --decrypt\` opens it as well. It needs the right to read
the key Secrets. Nothing is written in plain text.

{date} in the file's name is the time, such as 20261125T031700Z, for a job that runs again and again.
--keep is about files of that very name, the date aside; the oldest go, once the new one is there. An older
one may hold keys that have been deleted since.

Examples:
  $ signet keys backup --output prod.age
  $ signet keys backup --output prod.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  $ signet keys backup --output 'backups/prod-{date}.age' --keep 90 --recipient age1...`;

const RESTORE_HELP = `
Keys that are there already are left alone, so that it may be run again. It waits until the controller
holds them; every SealedSecret that they open follows by itself.

Example:
  $ signet keys restore prod.age --context new-prod`;

const RETIRE_HELP = `
KEY is the name of the key's Secret, its fingerprint or the beginning of it. The Secret stays, relabelled,
and the controller opens nothing with it any more. Refused while a value in the cluster or in this
repository's files is under it, or may be.

Example:
  $ signet keys retire SHA256:pV1EkPSm --cluster prod`;

const keepOption = (): Option =>
  new Option("--keep <N>", "remove all but the newest N of such files").argParser(
    (text: string) => {
      if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("it is no number above 0");
      return Number(text);
    },
  );

interface KeyFlags {
  readonly cluster?: string;
  readonly json: boolean;
}

/** The cluster of signet.yaml that --cluster names, or else that of the kubeconfig. */
function place(flags: Connected<KeyFlags>): ClusterOptions & {
  readonly projectCluster: ProjectCluster | null;
} {
  const project = findProject();
  if (flags.cluster === undefined) {
    return { ...clusterOptions(connection(flags)), projectCluster: null };
  }
  if (project === null) {
    throw new SignetError("usage", "--cluster names one of signet.yaml, and there is none", {
      hint: "for a context of the kubeconfig say --context",
    });
  }
  const projectCluster = clusterNamed(project, flags.cluster);
  return { ...projectClusterOptions(projectCluster, connection(flags)), projectCluster };
}

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
    .description("Lists, renews, backs up, restores and retires a cluster's sealing keys.")
    .helpCommand(false);
  defineList(command);
  defineRotate(command);
  defineBackup(command);
  defineRestore(command);
  defineRetire(command);
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
      ),
  )
    .addHelpText("after", LIST_HELP)
    .action(async (flags: Flags) => {
      const { runKeysList } = await import("./list.ts");
      await runKeysList({ ...flags, ...place(flags) });
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
    .addHelpText("after", ROTATE_HELP)
    .action(async (flags: Flags<{ dryRun: boolean }>) => {
      const { runKeysRotate } = await import("./rotate.ts");
      await runKeysRotate({ ...flags, ...place(flags) });
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
    .addHelpText("after", BACKUP_HELP)
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
        await runKeysBackup({ ...flags, ...place(flags) });
      },
    );
}

function defineRestore(command: Command): void {
  withPlace(
    command
      .command("restore")
      .argument("<FILE>")
      .usage("[OPTION...] FILE")
      .summary("put the keys of a backup into a cluster")
      .description("Puts the keys of a backup into a cluster.")
      .option(
        "--passphrase-file <FILE>",
        "unlock it with the first line of FILE, or of $SIGNET_PASSPHRASE_FILE",
      )
      .addOption(
        list("--identity <FILE>", "age identities to unlock it with, or $SIGNET_AGE_IDENTITY"),
      )
      .option("--no-wait", "do not wait until the controller holds them")
      .addOption(dryRunOption()),
  )
    .addHelpText("after", RESTORE_HELP)
    .action(
      async (
        file: string,
        flags: Flags<{
          passphraseFile?: string;
          identity: string[];
          wait: boolean;
          dryRun: boolean;
        }>,
      ) => {
        const { runKeysRestore } = await import("./restore.ts");
        await runKeysRestore(file, { ...flags, ...place(flags) });
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
    .addHelpText("after", RETIRE_HELP)
    .action(async (key: string, flags: Flags<{ force: boolean; dryRun: boolean }>) => {
      needCluster(flags);
      const { runKeysRetire } = await import("./retire.ts");
      await runKeysRetire(key, { ...flags, ...place(flags) });
    });
}
