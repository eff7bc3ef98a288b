// `signet keys backup`: writes a cluster's sealing keys to one encrypted file.
// SPEC.md, "Backups".

import { basename, dirname, join } from "node:path";
import { formatPlace, SignetError } from "../../../shared/errors.ts";
import { checkRecipients } from "../../../shared/keys/agefile.ts";
import { isWrapped, readWrappedKey } from "../../../shared/keys/wrappedkey.ts";
import { formatManifests } from "../../../shared/manifest/manifest.ts";
import { formatSecret, parseSecret, type Secret } from "../../../shared/kubernetes/secret.ts";
import { metadataOf, serverFieldsRemoved } from "../../../shared/kubernetes/object.ts";
import { listKeySecrets } from "../../cluster/apiobjects.ts";
import { namesIn, statIfThere } from "../../../host/readfile.ts";
import { removeFile, writeFiles } from "../../../host/writefiles.ts";
import { count } from "../../terminal/counts.ts";
import { printJson } from "../../terminal/results.ts";
import { say, warn } from "../../terminal/messages.ts";
import { labelOf, readAnyKey } from "./keysecrets.ts";
import { confirmPlace, type KeyPlace } from "./keyplace.ts";
import { type Lock, lockBackup, passphraseFault, readPassphrase } from "../../recovery/lock.ts";

/** How the command line says to lock a file. */
export interface LockFlags {
  readonly recipient: readonly string[];
  readonly passphraseFile?: string;
}

interface BackupOptions extends KeyPlace, LockFlags {
  readonly output?: string;
  /** How many files of this name to keep; undefined keeps all. */
  readonly keep?: number;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** @throws SignetError; then no file was written */
export async function runKeysBackup(options: BackupOptions): Promise<void> {
  const { output: pattern, keep, force, dryRun } = options;
  if (pattern === undefined) {
    throw new SignetError("usage", "--output is required", { hint: "use --output FILE" });
  }
  if (dirname(pattern).includes(DATE)) {
    throw new SignetError("usage", `${DATE} is allowed in the name of the file, not of its folder`);
  }
  if (keep !== undefined && !basename(pattern).includes(DATE)) {
    throw new SignetError("usage", `--keep requires ${DATE} in the name of the file`, {
      hint: `such as --output backup-${DATE}.age`,
    });
  }
  const output = join(dirname(pattern), basename(pattern).replaceAll(DATE, dateOf(new Date())));
  checkLockFlags(options);
  if (!force && statIfThere(output) !== undefined) {
    throw new SignetError(
      "io",
      "already exists; an older backup may contain keys that no longer exist elsewhere",
      {
        hint: "use another name, or --force",
        place: { file: output },
      },
    );
  }
  await confirmPlace(options);
  const objects = await listKeySecrets(options);
  const keys = objects.flatMap((object) => {
    const { name = null } = metadataOf(object);
    try {
      const secret = parseSecret(object);
      return [{ secret, key: readAnyKey(secret) }];
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      // It opens nothing, and must not prevent a backup of the others.
      const place = {
        object: `${options.controllerNamespace}/${typeof name === "string" ? name : ""}`,
        ...error.place,
      };
      warn(`${formatPlace(place)}: ${error.message}; skipped`);
      return [];
    }
  });
  if (keys.length === 0) {
    throw new SignetError(
      "key-invalid",
      `no sealing key found in namespace ${options.controllerNamespace}`,
      { hint: "set --controller-namespace to the namespace of the controller" },
    );
  }
  const facts = keys.map(({ secret, key }) => ({
    secret: secret.metadata.name,
    fingerprint: key.fingerprint,
    state: labelOf(secret),
    ...(isWrapped(secret) ? { wrappedBy: readWrappedKey(secret).provider } : {}),
  }));
  const closed = keys.filter(({ secret }) => isWrapped(secret)).length;
  if (closed > 0) {
    warn(
      `${count(closed, "key")} wrapped by a key service: this backup is useless without that service, and ` +
        `can be restored only to namespace ${options.controllerNamespace}`,
    );
  }
  if (!dryRun) {
    const text = formatManifests(
      keys.map(({ secret }) => formatSecret(declared(secret))),
      "yaml",
    );
    const locked = await lockBackup(text, await chooseLock(options));
    await writeFiles([{ path: output, root: undefined, text: locked, mode: 0o600 }]);
  }
  // Only after the new one is written.
  const removed = keep === undefined || dryRun ? [] : removeOlder(pattern, keep);
  if (options.json) await printJson({ file: output, dryRun, keys: facts, removed });
  else {
    say(`${output}: ${dryRun ? "would contain" : "contains"} ${count(keys.length, "sealing key")}`);
    for (const file of removed) say(`${file}: removed`);
  }
}

const DATE = "{date}";

/** UTC to the second, in a form that sorts by time and is valid in every file system. */
function dateOf(moment: Date): string {
  return moment.toISOString().replace(/[-:]|\.\d+/g, "");
}

/** Removes the oldest files of the pattern, by the date in their names, and returns them. */
function removeOlder(pattern: string, keep: number): string[] {
  const folder = dirname(pattern);
  const literal = basename(pattern)
    .split(DATE)
    .map((text) => text.replace(/[^\w-]/g, "\\$&"));
  const [first = "", second = "", ...more] = literal;
  // A date that appears twice is the same date.
  const again = more.map((text) => `\\k<date>${text}`).join("");
  const named = new RegExp(`^${first}(?<date>\\d{8}T\\d{6}Z)${second}${again}$`);
  const older = namesIn(folder)
    .filter((name) => named.test(name))
    .sort()
    .slice(0, -keep)
    .map((name) => join(folder, name));
  for (const file of older) removeFile(file);
  return older;
}

/** Without fields that the cluster wrote; the certificate has the time of creation. */
function declared({ metadata, ...secret }: Secret): Secret {
  return { ...secret, metadata: { ...metadata, rest: serverFieldsRemoved(metadata.rest) } };
}

/** @throws SignetError usage */
export function checkLockFlags({ recipient, passphraseFile }: LockFlags): void {
  if (recipient.length > 0 && passphraseFile !== undefined) {
    throw new SignetError("usage", "--recipient and --passphrase-file are mutually exclusive");
  }
  checkRecipients(recipient);
}

/** Prompts for a passphrase if the flags name no lock. @throws SignetError usage, io, cancelled */
export async function chooseLock({ recipient, passphraseFile }: LockFlags): Promise<Lock> {
  if (recipient.length > 0) return { recipients: recipient };
  const passphrase = await readPassphrase(
    `Passphrase for the backup (${passphraseFault("") ?? ""}):`,
    passphraseFile,
  );
  const fault = passphraseFault(passphrase);
  if (fault !== null) throw new SignetError("usage", `the passphrase is too short: ${fault}`);
  if (passphraseFile === undefined) {
    const again = await readPassphrase("Repeat passphrase:", undefined);
    if (again !== passphrase) throw new SignetError("usage", "the two passphrases differ");
  }
  return { passphrase };
}
