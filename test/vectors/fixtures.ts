// The test keys as the values that our functions take, and catching a SignetError.
// SPEC.md, "Conventions".

import type { Certificate } from "../../shared/keys/keykind.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { parsePrivateKey, type PrivateKey } from "../../shared/keys/rsakey.ts";
import { SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { type JsonObject, objectsOf } from "../../shared/kubernetes/object.ts";
import { KEY_NAMES, type KeyName, keyText } from "./vectors.ts";

/** `privateKey`: its RSA half, read. */
export type TestKey = SealingKey & {
  readonly certificate: Certificate;
  readonly privateKey: PrivateKey;
};

const KEYS = new Map<KeyName, TestKey>(
  KEY_NAMES.map((name) => {
    const certificate = parseCertificate(keyText(name, "crt"));
    const privateKey = parsePrivateKey(keyText(name, "key"));
    const key: TestKey = {
      name,
      fingerprint: privateKey.fingerprint,
      halves: readKeyFile(keyText(name, "key"), name)[0]?.halves ?? [],
      privateKey,
      certificate,
      orderedAt: certificate.notBefore,
      createdAt: new Date(0),
      compromised: false,
          confirmed: true,
    };
    return [name, key];
  }),
);

export function testKey(name: KeyName): TestKey {
  const key = KEYS.get(name);
  if (key === undefined) throw new Error(`no test key is named ${name}`);
  return key;
}

export function keyringOf(names: readonly KeyName[]): Keyring {
  return new Keyring(names.map(testKey));
}

/** The one object of a manifest. */
export function onlyObject(manifest: string): JsonObject {
  const [object, ...others] = parseManifests(manifest).flatMap(objectsOf);
  if (object === undefined || others.length > 0) throw new Error("not one object");
  return object;
}

/** The SignetError that `action` throws; any other error goes on. */
export function thrownBy(action: () => unknown): SignetError {
  try {
    action();
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** The SignetError that `action` throws or rejects with; any other error goes on. */
export async function errorOf(action: () => unknown): Promise<SignetError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** All that an error tells, in one text. */
export function toldBy(error: SignetError): string {
  return JSON.stringify([error.code, error.message, error.hint, error.place, String(error.cause)]);
}
