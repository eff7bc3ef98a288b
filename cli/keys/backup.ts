// Owns: `signet keys backup`: the sealing keys of a cluster in one locked file.
// Does not own: the lock (lock.ts), putting them back (restore.ts). SPEC.md, "Backups".

import { formatPlace, SignetError } from "../../shared/errors.ts";
import { KEY_LABEL, readKeySecret } from "../../shared/keyfile.ts";
import { formatManifests } from "../../shared/manifest.ts";
import {
  formatSecret,
  metadataOf,
  parseSecret,
  type Secret,
  serverFieldsRemoved,
} from "../../shared/secret.ts";
import { listKeySecrets } from "../cluster/objects.ts";
import { statIfThere, writeFiles } from "../files.ts";
import type { ClusterOptions } from "../cluster/kubeconfig.ts";
import { count, printJson, say, warn } from "../terminal.ts";
import { type Lock, lockBackup, passphraseFault, readPassphrase } from "./lock.ts";

export interface BackupOptions extends ClusterOptions {
  readonly output?: string;
  readonly recipient: readonly string[];
  readonly passphraseFile?: string;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** @throws SignetError; then no file was written */
export async function runKeysBackup(options: BackupOptions): Promise<void> {
  const { output, force, dryRun, recipient, passphraseFile } = options;
  if (output === undefined) {
    throw new SignetError("usage", "where should the backup go?", { hint: "say --output FILE" });
  }
  if (recipient.length > 0 && passphraseFile !== undefined) {
    throw new SignetError("usage", "--recipient and --passphrase-file exclude each other");
  }
  if (!force && statIfThere(output) !== undefined) {
    throw new SignetError("io", "is there already; an older backup may hold keys that are gone", {
      hint: "name another file, or say --force",
      place: { file: output },
    });
  }
  const objects = await listKeySecrets(options);
  const keys = objects.flatMap((object) => {
    const { name = null } = metadataOf(object);
    try {
      const secret = parseSecret(object);
      return [{ secret, key: readKeySecret(secret) }];
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      // It opens nothing, and is to keep none of the others from being backed up.
      const place = {
        object: `${options.controllerNamespace}/${typeof name === "string" ? name : ""}`,
        ...error.place,
      };
      warn(`${formatPlace(place)}: ${error.message}; it is left out`);
      return [];
    }
  });
  if (keys.length === 0) {
    throw new SignetError(
      "key-invalid",
      `there is no sealing key in ${options.controllerNamespace}`,
      {
        hint: "use --controller-namespace to say where the controller runs",
      },
    );
  }
  const facts = keys.map(({ secret, key }) => ({
    secret: secret.metadata.name,
    fingerprint: key.privateKey.fingerprint,
    state: secret.metadata.labels[KEY_LABEL] ?? "active",
  }));
  if (!dryRun) {
    const text = formatManifests(
      keys.map(({ secret }) => formatSecret(declared(secret))),
      "yaml",
    );
    const locked = await lockBackup(text, await chooseLock(options));
    await writeFiles([{ path: output, text: locked, mode: 0o600 }]);
  }
  if (options.json) await printJson({ file: output, dryRun, keys: facts });
  else say(`${output}: ${dryRun ? "would hold" : "holds"} ${count(keys.length, "sealing key")}`);
}

/** When it was made is told by its certificate as well; all else that the cluster wrote is left out. */
function declared({ metadata, ...secret }: Secret): Secret {
  return { ...secret, metadata: { ...metadata, rest: serverFieldsRemoved(metadata.rest) } };
}

async function chooseLock({ recipient, passphraseFile }: BackupOptions): Promise<Lock> {
  if (recipient.length > 0) return { recipients: recipient };
  const passphrase = await readPassphrase("Passphrase for the backup:", passphraseFile);
  const fault = passphraseFault(passphrase);
  if (fault !== null) throw new SignetError("usage", `the passphrase is too short: ${fault}`);
  if (passphraseFile === undefined) {
    const again = await readPassphrase("The same again:", undefined);
    if (again !== passphrase) throw new SignetError("usage", "the two passphrases differ");
  }
  return { passphrase };
}
