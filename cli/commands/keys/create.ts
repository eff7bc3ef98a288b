// `signet keys create`: creates a sealing key offline, for `signet keys restore` to put into a cluster.
// SPEC.md, "Backups".

import { HYBRID } from "../../../shared/envelopes/hybrid.ts";
import { SignetError } from "../../../shared/errors.ts";
import { parseCertificate } from "../../../shared/keys/certificate.ts";
import { formatKeySecret } from "../../../shared/keys/keyfile.ts";
import { createSealingKey } from "../../../shared/keys/keypair.ts";
import { formatManifests } from "../../../shared/manifest/manifest.ts";
import { statIfThere } from "../../../host/readfile.ts";
import { writeFiles } from "../../../host/writefiles.ts";
import { lockBackup } from "../../recovery/lock.ts";
import { say } from "../../terminal/messages.ts";
import { whileWaiting } from "../../terminal/progress.ts";
import { printJson } from "../../terminal/results.ts";
import { checkLockFlags, chooseLock, type LockFlags } from "./backup.ts";

interface CreateOptions extends LockFlags {
  /** The locked file of the key. */
  readonly output?: string;
  /** The file of its certificate. */
  readonly cert?: string;
  /** Whether it has a post-quantum half. */
  readonly hybrid: boolean;
  readonly json: boolean;
}

const BITS = 4096;
/** As for the controller's keys. */
const VALID_MS = 87_600 * 3_600_000;

/** @throws SignetError; then no file was written */
export async function runKeysCreate(options: CreateOptions): Promise<void> {
  const { output, cert, hybrid, json } = options;
  if (output === undefined || cert === undefined) {
    throw new SignetError("usage", "--output and --cert are required", {
      hint: "use --output FILE for the key and --cert FILE for its certificate",
    });
  }
  checkLockFlags(options);
  for (const file of [output, cert]) {
    if (statIfThere(file) === undefined) continue;
    throw new SignetError("io", "already exists", { place: { file } });
  }
  const lock = await chooseLock(options);
  const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000);
  const wanted = { bits: BITS, notBefore, validForMs: VALID_MS, kinds: hybrid ? [HYBRID] : [] };
  const pair = await whileWaiting(`creating a key of ${BITS} bits`, () => createSealingKey(wanted));
  const { fingerprint, kinds } = parseCertificate(pair.certificatePem);
  const stamp = notBefore.toISOString().slice(0, 19).replaceAll(/[-:T]/g, "");
  const manifest = formatKeySecret(pair, { name: `sealed-secrets-key-${stamp}` });
  const text = await lockBackup(formatManifests([manifest], "yaml"), lock);
  await writeFiles([
    { path: output, root: undefined, text, mode: 0o600 },
    { path: cert, root: undefined, text: pair.certificatePem },
  ]);
  if (json) await printJson({ file: output, certificate: cert, fingerprint, algorithms: kinds });
  else say(`${output}: contains the sealing key ${fingerprint}; its certificate is ${cert}`);
}
