// Opens files of wrapped key Secrets with the key service that the command line names.
// SPEC.md, "Wrapped keys", "Recovery".

import { filesInKeyFolder } from "../../../host/keyfolder.ts";
import { decodeText, readBytes, stat } from "../../../host/readfile.ts";
import { locate, SignetError } from "../../../shared/errors.ts";
import { isLockedBackup, readKeySecret } from "../../../shared/keys/keyfile.ts";
import type { KeyService } from "../../../shared/keys/keyservice.ts";
import type { SealingKey } from "../../../shared/keys/sealingkey.ts";
import {
  isWrapped,
  openWrappedKey,
  plainSecret,
  readWrappedKey,
  WRAPPED_ITEM,
} from "../../../shared/keys/wrappedkey.ts";
import { objectsOf } from "../../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../../shared/kubernetes/secret.ts";
import { parseManifests } from "../../../shared/manifest/manifest.ts";
import type { WrappedKeyOptions } from "./wrappedkeyoptions.ts";

/**
 * The keys that the service opens, and why it cannot open the others, by fingerprint.
 * @throws SignetError usage, io, key-invalid for a file without any; network if the service cannot answer
 */
export async function openWrappedFiles(
  options: WrappedKeyOptions,
): Promise<{ held: SealingKey[]; reasons: Map<string, string> }> {
  const { kmsProvider: provider, wrappedKey } = options;
  const held: SealingKey[] = [];
  const reasons = new Map<string, string>();
  if (wrappedKey.length === 0) return { held, reasons };
  if (provider === undefined) {
    throw new SignetError("usage", "--wrapped-key requires --kms-provider");
  }
  const { openKeyService } = await import("../../../host/kms/openkeyservice.ts");
  const service = await openKeyService(provider, options);
  for (const path of wrappedKey) {
    for (const secret of await wrappedSecretsAt(path)) {
      const { fingerprint } = readWrappedKey(secret);
      try {
        held.push(await opened(secret, service));
      } catch (error) {
        // An unavailable service says nothing about the key.
        if (!(error instanceof SignetError) || error.code === "network") throw error;
        reasons.set(fingerprint, error.message);
      }
    }
  }
  return { held, reasons };
}

async function wrappedSecretsAt(path: string): Promise<Secret[]> {
  const isFolder = stat(path).isDirectory();
  const secrets: Secret[] = [];
  for (const file of isFolder ? filesInKeyFolder(path) : [path]) {
    const bytes = readBytes(file);
    const isLocked = isLockedBackup(bytes);
    // A folder may also contain recovery files.
    if (isFolder && isLocked) continue;
    const text = isLocked
      ? await (await import("../../recovery/lock.ts")).unlockBackup(bytes, file)
      : decodeText(bytes, file);
    if (isFolder && !text.includes(WRAPPED_ITEM)) continue;
    const found = locate({ file }, () =>
      parseManifests(text)
        .flatMap(objectsOf)
        .map((object) => parseSecret(object)),
    );
    secrets.push(...found.filter(isWrapped));
  }
  if (secrets.length > 0) return secrets;
  throw new SignetError("key-invalid", "contains no wrapped key", { place: { file: path } });
}

/** @throws SignetError key-invalid, network */
async function opened(secret: Secret, service: KeyService): Promise<SealingKey> {
  const wrapped = readWrappedKey(secret);
  const { namespace, name } = secret.metadata;
  const { fingerprint } = wrapped;
  if (wrapped.provider !== service.provider) {
    throw new SignetError("key-invalid", `it was wrapped by ${wrapped.provider}`);
  }
  const pem = await openWrappedKey(wrapped, { namespace, name, fingerprint }, service);
  const key = readKeySecret(plainSecret(secret, wrapped, pem));
  if (key.fingerprint === fingerprint) return key;
  throw new SignetError("key-invalid", "the wrapped key does not match its certificate");
}
