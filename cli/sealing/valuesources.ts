// Sources of values: files and a generator, as in `kubectl create secret`.
// SPEC.md, "Command line", "Values".

import { createPrivateKey, X509Certificate } from "node:crypto";
import { basename, join } from "node:path";
import { namesIn, readBytes, stat, statIfThere } from "../../host/readfile.ts";
import { MAX_FOUND_BYTES, readWithin, rootOf } from "../../host/rootedfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { isItemName } from "../../shared/kubernetes/secret.ts";
import {
  DEFAULT_PASSWORD_LENGTH,
  generatePassword,
  MAX_PASSWORD_LENGTH,
  MIN_PASSWORD_LENGTH,
} from "../../shared/sealing/randompassword.ts";
import { checkItem } from "./itemnames.ts";

/** `source`: `[ITEM=]FILE`, or a folder. @throws SignetError usage, io */
export function fromFile(source: string): [string, Uint8Array][] {
  const separator = source.indexOf("=");
  if (separator !== -1) {
    const item = source.slice(0, separator);
    checkItem(item);
    return [[item, readFileOf(item, source.slice(separator + 1))]];
  }
  if (!stat(source).isDirectory()) {
    const item = basename(source);
    if (isItemName(item)) return [[item, readBytes(source)]];
    throw notAnItem(source);
  }
  const files = namesIn(source)
    .sort()
    .filter((name) => statIfThere(join(source, name))?.isFile() === true);
  // As in kubectl: left out, its value would be missing in the cluster.
  const other = files.find((name) => !isItemName(name));
  if (other !== undefined) throw notAnItem(join(source, other));
  // The command line names the folder, and no link in it: one must not take a file from elsewhere.
  const root = rootOf(source);
  return files.map((name) => [name, readWithin(root, join(source, name), MAX_FOUND_BYTES)]);
}

function notAnItem(file: string): SignetError {
  return new SignetError("usage", "the file's name is not a valid item name", {
    hint: "an item name may contain only letters, digits, '-', '_' and '.'; use --from-file ITEM=FILE",
    place: { file },
  });
}

/** Never quotes a path that cannot be read: ITEM=VALUE may stand where ITEM=FILE is meant. */
function readFileOf(item: string, file: string): Uint8Array {
  try {
    return readBytes(file);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    throw new SignetError(error.code, `--from-file: the file for ${item}: ${error.message}`, {
      hint: "use ITEM=FILE; a value itself is prompted for, or read from standard input",
      cause: error,
    });
  }
}

/** `source`: `ITEM` or `ITEM=LENGTH`. @throws SignetError usage */
export function generated(source: string): [string, Uint8Array] {
  const [item = "", ...rest] = source.split("=");
  const text = rest.length === 0 ? String(DEFAULT_PASSWORD_LENGTH) : rest.join("=");
  const length = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (length < MIN_PASSWORD_LENGTH || length > MAX_PASSWORD_LENGTH) {
    throw new SignetError("usage", "the length of a generated value must be from 8 to 1024", {
      hint: "such as --generate password=40",
    });
  }
  return [item, new TextEncoder().encode(generatePassword(length))];
}

/** @throws SignetError usage, io, secret-invalid */
export function tlsPair(cert: string | undefined, key: string | undefined): [string, Uint8Array][] {
  if (cert === undefined || key === undefined) {
    throw new SignetError("usage", "--tls-cert and --tls-key must be used together");
  }
  const [certificate, privateKey] = [readBytes(cert), readBytes(key)];
  const parsed = parsePem(cert, "is not a PEM certificate", () => new X509Certificate(certificate));
  const fits = parsePem(key, "is not a PEM private key, or is encrypted with a passphrase", () =>
    parsed.checkPrivateKey(createPrivateKey(privateKey)),
  );
  if (!fits) {
    throw new SignetError("secret-invalid", `is not the private key of ${cert}`, {
      place: { file: key },
    });
  }
  return [
    ["tls.crt", certificate],
    ["tls.key", privateKey],
  ];
}

/** Without the library's own message, which may quote the key. */
function parsePem<T>(file: string, reason: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new SignetError("secret-invalid", reason, { place: { file } });
  }
}

const DEFAULT_REGISTRY = "https://index.docker.io/v1/";

interface RegistryAccount {
  readonly username: string;
  readonly server: string | undefined;
  readonly email: string | undefined;
}

/** The login of a registry. @throws SignetError secret-invalid */
export function dockerConfig(
  { username, server = DEFAULT_REGISTRY, email }: RegistryAccount,
  password: Uint8Array,
): Uint8Array {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(password);
  } catch {
    throw new SignetError("secret-invalid", "the password of the registry is not UTF-8 text");
  }
  const account = {
    username,
    password: text,
    ...(email === undefined ? {} : { email }),
    auth: Buffer.from(`${username}:${text}`).toString("base64"),
  };
  return new TextEncoder().encode(JSON.stringify({ auths: { [server]: account } }));
}
