// Owns: values that come from flags as `kubectl create secret` has them, from prompts, standard input
// and a generator. Does not own: what becomes of them (seal.ts, new.ts, change.ts).
// SPEC.md, "Command line", "Values".

import { createPrivateKey, randomInt, X509Certificate } from "node:crypto";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { isItemName } from "../../shared/secret.ts";
import { readBytes, readText, stat, statIfThere } from "../files.ts";
import { readStdin } from "../terminal.ts";

/** Values as flags name them. */
export interface ValueFlags {
  /** Names of items; the values are asked for. */
  readonly fromLiteral?: readonly string[];
  /** `[ITEM=]FILE`, or a folder. */
  readonly fromFile?: readonly string[];
  readonly fromEnvFile?: readonly string[];
  /** `ITEM` or `ITEM=LENGTH`. */
  readonly generate?: readonly string[];
  readonly dockerServer?: string;
  readonly dockerUsername?: string;
  readonly dockerEmail?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

export interface GivenValues {
  readonly data: Map<string, Uint8Array>;
  /** The type that the form asks for, such as `kubernetes.io/tls`. */
  readonly type: string | undefined;
}

/** Whether any flag names a value. */
export function hasValues(flags: ValueFlags): boolean {
  const { fromLiteral, fromFile, fromEnvFile, generate, ...single } = flags;
  const lists = [fromLiteral, fromFile, fromEnvFile, generate];
  return (
    lists.some((list) => (list?.length ?? 0) > 0) ||
    [single.dockerServer, single.dockerUsername, single.tlsCert, single.tlsKey].some(Boolean)
  );
}

const DEFAULT_REGISTRY = "https://index.docker.io/v1/";

/** @throws SignetError usage, io, secret-invalid */
export async function readValues(flags: ValueFlags): Promise<GivenValues> {
  const data = new Map<string, Uint8Array>();
  const add = (item: string, value: Uint8Array): void => {
    checkItem(item);
    if (data.has(item)) throw new SignetError("usage", `${item} is given twice`);
    data.set(item, value);
  };
  for (const source of flags.fromFile ?? []) {
    for (const [item, value] of fromFile(source)) add(item, value);
  }
  for (const file of flags.fromEnvFile ?? []) {
    for (const [item, value] of fromEnvFile(file)) add(item, value);
  }
  for (const each of flags.generate ?? []) add(...generated(each));
  let type: string | undefined;
  const { tlsCert, tlsKey, dockerUsername, dockerServer } = flags;
  if (tlsCert !== undefined || tlsKey !== undefined) {
    type = "kubernetes.io/tls";
    for (const [item, value] of tlsPair(tlsCert, tlsKey)) add(item, value);
  }
  const literals = [...(flags.fromLiteral ?? [])];
  for (const item of literals) {
    checkItem(item);
    if (data.has(item)) throw new SignetError("usage", `${item} is given twice`);
  }
  const isDocker = dockerUsername !== undefined || dockerServer !== undefined;
  if (isDocker && dockerUsername === undefined) {
    throw new SignetError("usage", "--docker-server needs --docker-username");
  }
  const names = isDocker ? [...literals, DOCKER_PASSWORD] : literals;
  for (const [item, value] of await askValues(names)) {
    if (item === DOCKER_PASSWORD) {
      type = "kubernetes.io/dockerconfigjson";
      add(".dockerconfigjson", dockerConfig(flags, value));
    } else {
      add(item, value);
    }
  }
  return { data, type };
}

const DOCKER_PASSWORD = "password of the registry";

/** Never quoted where it is wrong: it may be a value. */
function checkItem(item: string): void {
  if (isItemName(item)) return;
  if (/^[-._a-zA-Z0-9]+=/.test(item)) {
    throw new SignetError(
      "usage",
      "a value on the command line is seen by others on this machine",
      {
        hint: "name the item alone: its value is asked for, or read from standard input",
      },
    );
  }
  throw new SignetError("usage", "that is not a name for an item", {
    hint: "letters, digits, '-', '_' and '.' only",
  });
}

/**
 * Asks for values that are not shown; where nobody can be asked, the one value is standard input.
 * @throws SignetError usage, io, cancelled
 */
export async function askValues(
  items: readonly string[],
  words: (item: string) => string = (item) => item,
): Promise<Map<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  if (items.length === 0) return values;
  const { isatty } = await import("node:tty");
  if (!isatty(0)) {
    const [item = "", ...others] = items;
    if (others.length > 0) {
      throw new SignetError("usage", "standard input can be one value only", {
        hint: "name one item, or use --from-file and --from-env-file, which take /dev/fd/3 as well",
      });
    }
    return values.set(item, withoutLineEnd(await readStdin("")));
  }
  const { askHidden } = await import("../prompts.ts");
  for (const item of items) {
    const value = await askHidden(`Value of ${words(item)}:`, (answer) =>
      answer === "" ? "empty: type it, or press Ctrl-C" : null,
    );
    values.set(item, new TextEncoder().encode(value));
  }
  return values;
}

/** One line without the line end that `echo` and editors put after it; more lines stay as they are. */
function withoutLineEnd(bytes: Buffer): Uint8Array {
  const first = bytes.indexOf("\n");
  if (first === -1 || first !== bytes.length - 1) return bytes;
  return bytes.subarray(0, bytes[first - 1] === 0x0d ? first - 1 : first);
}

function fromFile(source: string): [string, Uint8Array][] {
  const separator = source.indexOf("=");
  if (separator !== -1) {
    return [[source.slice(0, separator), readBytes(source.slice(separator + 1))]];
  }
  if (!stat(source).isDirectory()) return [[basename(source), readBytes(source)]];
  // As kubectl: the files of the folder whose names can be items.
  return readdirSync(source)
    .sort()
    .filter((name) => isItemName(name) && statIfThere(join(source, name))?.isFile() === true)
    .map((name) => [name, readBytes(join(source, name))]);
}

/** As kubectl reads it: no quotes, no spaces taken away; a name alone takes the environment's value. */
function fromEnvFile(file: string): [string, Uint8Array][] {
  const lines = readText(file)
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const text = line.trimStart();
    if (text === "" || text.startsWith("#")) return [];
    const separator = text.indexOf("=");
    const item = separator === -1 ? text.trimEnd() : text.slice(0, separator);
    if (!/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(item)) {
      throw new SignetError("secret-invalid", "does not begin with the name of a variable", {
        place: { file, line: index + 1 },
      });
    }
    const value = separator === -1 ? process.env[item] : text.slice(separator + 1);
    return value === undefined ? [] : [[item, new TextEncoder().encode(value)]];
  });
}

const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const DEFAULT_LENGTH = 32;

function generated(source: string): [string, Uint8Array] {
  const [item = "", text] = source.split("=");
  const length = text === undefined ? DEFAULT_LENGTH : Number(text);
  if (!Number.isInteger(length) || length < 8 || length > 1024) {
    throw new SignetError("usage", "the length of a generated value is from 8 to 1024");
  }
  return [item, new TextEncoder().encode(generatePassword(length))];
}

/** Letters and digits that nobody confuses: 5.8 bits each. */
export function generatePassword(length = DEFAULT_LENGTH): string {
  return Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}

function tlsPair(cert: string | undefined, key: string | undefined): [string, Uint8Array][] {
  if (cert === undefined || key === undefined) {
    throw new SignetError("usage", "--tls-cert and --tls-key need each other");
  }
  const [certificate, privateKey] = [readBytes(cert), readBytes(key)];
  let fits: boolean;
  try {
    fits = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    // What the library says may quote the key.
    throw new SignetError(
      "secret-invalid",
      "is no PEM certificate, or its key no PEM private key",
      {
        place: { file: cert },
      },
    );
  }
  if (!fits) {
    throw new SignetError("secret-invalid", "the private key is not this certificate's", {
      place: { file: cert },
    });
  }
  return [
    ["tls.crt", certificate],
    ["tls.key", privateKey],
  ];
}

function dockerConfig(flags: ValueFlags, password: Uint8Array): Uint8Array {
  const { dockerServer = DEFAULT_REGISTRY, dockerUsername: username = "", dockerEmail } = flags;
  const text = new TextDecoder().decode(password);
  const account = {
    username,
    password: text,
    ...(dockerEmail === undefined ? {} : { email: dockerEmail }),
    auth: Buffer.from(`${username}:${text}`).toString("base64"),
  };
  return new TextEncoder().encode(JSON.stringify({ auths: { [dockerServer]: account } }));
}
