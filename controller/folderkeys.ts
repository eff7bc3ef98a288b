// The sealing keys of the standalone mode: files in a folder.
// SPEC.md, "Standalone mode".

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { writeAtomically } from "../host/atomicwrite.ts";
import { errnoOf, errnoWords } from "../host/errno.ts";
import { filesInKeyFolder, isAccessibleToOthers } from "../host/keyfolder.ts";
import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { formatPlace, SignetError } from "../shared/errors.ts";
import { formatKeySecret, readKeyFile } from "../shared/keys/keyfile.ts";
import { createSealingKey } from "../shared/keys/keypair.ts";
import { type Keyring, nextNotBefore } from "../shared/keys/keyring.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import { formatManifests } from "../shared/manifest/manifest.ts";
import type { Log } from "./log.ts";
import type { StandaloneFlags } from "./standaloneflags.ts";

/** Creates a sealing key that is newer than those in `keyring`, and writes it to the folder. */
export async function createKeyFile(
  flags: StandaloneFlags,
  keyring: Keyring,
  now: Date,
  log: Log,
): Promise<void> {
  const notBefore = nextNotBefore(keyring.keys[0] ?? null, now);
  const pair = await createSealingKey({
    bits: flags.keySize,
    notBefore,
    validForMs: flags.keyTtl,
    commonName: flags.myCn,
    kinds: flags.hybridKeys ? [HYBRID] : [],
  });
  const stamp = notBefore.toISOString().slice(0, 19).replaceAll(/[-:T]/g, "");
  mkdirSync(flags.keys, { recursive: true, mode: 0o700 });
  const creationTimestamp = `${now.toISOString().slice(0, 19)}Z`;
  for (let attempt = 1; ; attempt++) {
    const name = `${flags.keyPrefix}-${stamp}${attempt === 1 ? "" : `-${attempt}`}`;
    const manifest = formatKeySecret(pair, { name, creationTimestamp });
    const file = join(flags.keys, `${name}.yaml`);
    if (!writeNewFile(file, formatManifests([manifest], "yaml"))) continue;
    log.info("sealing key created", { file });
    return;
  }
}

/** Returns false if the name already exists, because that may be the only copy of another key. */
function writeNewFile(file: string, text: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(file, "wx", 0o600);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
  return true;
}

/** The state of the key files, taken without reading them. Equal states mean equal keys. */
export function keyFolderState(folder: string): string {
  return keyFilesIn(folder)
    .map((file) => {
      const { ino, size, mtimeMs } = statSync(file);
      return [file, ino, size, mtimeMs].join(" ");
    })
    .join("\n");
}

function keyFilesIn(folder: string): string[] {
  return filesInKeyFolder(folder).filter((file) => /\.(ya?ml|json|pem|key)$/.test(file));
}

/** Logs and skips files that are not usable. */
export function loadKeyFiles(folder: string, log: Log): SealingKey[] {
  return keyFilesIn(folder).flatMap((file) => {
    try {
      if (isAccessibleToOthers(statSync(file))) {
        log.warn("sealing key can be read by others: chmod 600 it", { file });
      }
      return readKeyFile(readFileSync(file, "utf8"), file);
    } catch (error) {
      log.error("sealing key file cannot be used, skipped", { file, error: reasonOf(error) });
      return [];
    }
  });
}

/**
 * Writes the newest key's certificate, readable by everyone: it is public, and often committed. A
 * file with the same content is not written again.
 */
export function writeCertificateFile(file: string, keyring: Keyring): void {
  const pem = keyring.newest?.certificate.pem;
  if (pem === undefined) return;
  try {
    if (readFileSync(file, "utf8") === pem) return;
  } catch {
    // The file does not exist or is not readable: if it is not writable either, the write fails.
  }
  writeAtomically(file, new TextEncoder().encode(pem), 0o644);
}

/** Describes why something failed, without quoting a file. */
export function reasonOf(error: unknown): string {
  if (error instanceof SignetError) {
    const place = formatPlace(error.place);
    return place === "" ? error.message : `${place}: ${error.message}`;
  }
  const code = errnoOf(error);
  return code === undefined ? (error as Error).message : errnoWords(code);
}
