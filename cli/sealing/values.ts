// Values that come from flags as `kubectl create secret` has them, from prompts, standard input and
// a generator.
// SPEC.md, "Command line", "Values".

import { createPrivateKey, randomInt, X509Certificate } from "node:crypto";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { isItemName } from "../../shared/kubernetes/secret.ts";
import { readBytes, readText, stat, statIfThere } from "../../host/readfile.ts";
import { ioError } from "../../host/errno.ts";
import { readStdin } from "../terminal/stdin.ts";

/** Values as flags name them. */
export interface ValueFlags {
  /** Names of items; the values are asked for. */
  readonly fromLiteral?: readonly string[];
  /** `[ITEM=]FILE`, or a folder. */
  readonly fromFile?: readonly string[];
  readonly fromEnvFile?: readonly string[];
  /** `ITEM` or `ITEM=LENGTH`. */
  readonly generate?: readonly string[];
  readonly dockerServer?: string | undefined;
  readonly dockerUsername?: string | undefined;
  readonly dockerEmail?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
}

export interface GivenValues {
  readonly data: Map<string, Uint8Array>;
  /** The type that the form asks for, such as `kubernetes.io/tls`. */
  readonly type: string | undefined;
}

/** Whether any flag names a value. */
export function hasValues(flags: ValueFlags): boolean {
  const { fromLiteral, fromFile, fromEnvFile, generate } = flags;
  const { dockerServer, dockerUsername, dockerEmail, tlsCert, tlsKey } = flags;
  const lists = [fromLiteral, fromFile, fromEnvFile, generate];
  return (
    lists.some((list) => (list?.length ?? 0) > 0) ||
    [dockerServer, dockerUsername, dockerEmail, tlsCert, tlsKey].some((text) => text !== undefined)
  );
}

const DEFAULT_REGISTRY = "https://index.docker.io/v1/";

/** By item. */
export type Values = ReadonlyMap<string, Uint8Array>;

/** How values are asked for, and which items have one already. */
interface Asking {
  /** Asked once for each: the one that is meant. */
  readonly cluster?: string;
  readonly taken?: Values;
}

/** @throws SignetError usage, io, secret-invalid */
export async function readValues(
  flags: ValueFlags,
  { cluster, taken = new Map() }: Asking = {},
): Promise<GivenValues> {
  const data = new Map<string, Uint8Array>();
  const checkNew = (item: string): void => {
    checkItem(item);
    if (!data.has(item) && !taken.has(item)) return;
    throw new SignetError("usage", `${item} is given twice`);
  };
  const add = (item: string, value: Uint8Array): void => {
    checkNew(item);
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
  const { tlsCert, tlsKey, dockerUsername, dockerServer, dockerEmail } = flags;
  if (tlsCert !== undefined || tlsKey !== undefined) {
    type = "kubernetes.io/tls";
    for (const [item, value] of tlsPair(tlsCert, tlsKey)) add(item, value);
  }
  const literals = [...(flags.fromLiteral ?? [])];
  literals.forEach(checkNew);
  const isDocker = [dockerUsername, dockerServer, dockerEmail].some((text) => text !== undefined);
  if (isDocker && dockerUsername === undefined) {
    const flag = dockerServer === undefined ? "--docker-email" : "--docker-server";
    throw new SignetError("usage", `${flag} needs --docker-username`);
  }
  const names = isDocker ? [...literals, DOCKER_PASSWORD] : literals;
  for (const [item, value] of await askValues(names, cluster)) {
    if (item === DOCKER_PASSWORD) {
      type = "kubernetes.io/dockerconfigjson";
      add(".dockerconfigjson", dockerConfig(flags, value));
    } else {
      add(item, value);
    }
  }
  return { data, type };
}

/** Values of one Secret for several clusters. */
export interface ClusterValues {
  /** Those that are the same in each. */
  readonly shared: Values;
  /** By the cluster's name. */
  readonly own: ReadonlyMap<string, Values>;
  /** As of `GivenValues`. */
  readonly type: string | undefined;
}

/**
 * Values for clusters of these names: what is asked for and what is generated is each cluster's own,
 * what is read from a file is the same in all. Without a name, everything is.
 * @throws SignetError usage, io, secret-invalid
 */
export async function readClusterValues(
  flags: ValueFlags,
  names: readonly string[],
): Promise<ClusterValues> {
  const own = new Map<string, Values>();
  if (names.length === 0) {
    const { data, type } = await readValues(flags);
    return { shared: data, own, type };
  }
  const noLogin = { dockerServer: undefined, dockerUsername: undefined, dockerEmail: undefined };
  const noFile = { fromFile: [], fromEnvFile: [], tlsCert: undefined, tlsKey: undefined };
  const shared = await readValues({ ...flags, fromLiteral: [], generate: [], ...noLogin });
  let { type } = shared;
  for (const cluster of names) {
    const given = await readValues({ ...flags, ...noFile }, { cluster, taken: shared.data });
    own.set(cluster, given.data);
    type ??= given.type;
  }
  return { shared: shared.data, own, type };
}

const DOCKER_PASSWORD = "password of the registry";

/** Never quoted where it is wrong: it may be a value. @throws SignetError usage */
export function checkItem(item: string): void {
  if (isItemName(item)) return;
  checkNoValue(item);
  throw new SignetError("usage", "that is not a name for an item", {
    hint: "letters, digits, '-', '_' and '.' only",
  });
}

/** Refuses ITEM=VALUE where a name or a path stands. @throws SignetError usage */
export function checkNoValue(text: string): void {
  if (!/^[-._a-zA-Z0-9]+=/.test(text)) return;
  throw new SignetError("usage", "a value on the command line is seen by others on this machine", {
    hint: "name the item alone: its value is asked for, or read from standard input",
  });
}

/** Standard input ends once: what is read from it again would be an empty value. */
let stdinTaken = false;

/**
 * Asks for values that are not shown; where nobody can be asked, the one value is standard input.
 * @throws SignetError usage, io, cancelled
 */
async function askValues(
  items: readonly string[],
  cluster: string | undefined,
): Promise<Map<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  if (items.length === 0) return values;
  const { isatty } = await import("node:tty");
  if (!isatty(0)) {
    const [item = "", ...others] = items;
    if (others.length > 0 || stdinTaken || cluster !== undefined) {
      throw new SignetError("usage", "standard input can be one value only", {
        hint:
          cluster === undefined
            ? "name one item, or use --from-file and --from-env-file, which take /dev/fd/3 as well"
            : "leave --per-cluster out, or say the value cluster by cluster",
      });
    }
    stdinTaken = true;
    const value = withoutLineEnd(await readStdin(""));
    // A command before a pipe that failed must not leave an empty password.
    if (value.length > 0) return values.set(item, value);
    throw new SignetError("usage", "standard input is empty: there is no value in it", {
      hint: "if it is to be empty, say --from-file ITEM=/dev/null",
    });
  }
  const { askHidden } = await import("../terminal/prompts.ts");
  for (const item of items) {
    const words = cluster === undefined ? item : `${item} in ${cluster}`;
    const value = await askHidden(`Value of ${words}:`, (answer) =>
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
    const item = source.slice(0, separator);
    checkItem(item);
    return [[item, readFileOf(item, source.slice(separator + 1))]];
  }
  if (!stat(source).isDirectory()) {
    const item = basename(source);
    if (isItemName(item)) return [[item, readBytes(source)]];
    throw new SignetError("usage", "the file's name is not a name for an item", {
      hint: "say --from-file ITEM=FILE",
      place: { file: source },
    });
  }
  // As kubectl: the files of the folder whose names can be items.
  const names = namesIn(source).sort();
  const items = names.filter(
    (name) => isItemName(name) && statIfThere(join(source, name))?.isFile() === true,
  );
  if (names.length > 0 && items.length === 0) {
    throw new SignetError("usage", "holds no file whose name can be an item's", {
      hint: "an item has letters, digits, '-', '_' and '.' only; say --from-file ITEM=FILE",
      place: { file: source },
    });
  }
  return items.map((name) => [name, readBytes(join(source, name))]);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw ioError("cannot read", error, folder);
  }
}

/** Who writes ITEM=VALUE where ITEM=FILE is meant has named no file: that is not quoted. */
function readFileOf(item: string, file: string): Uint8Array {
  try {
    return readBytes(file);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    throw new SignetError(error.code, `--from-file: the file for ${item}: ${error.message}`, {
      hint: "it is ITEM=FILE; a value itself is asked for, or read from standard input",
      cause: error,
    });
  }
}

/** As kubectl reads it: no quotes, no spaces taken away; a name alone takes the environment's value. */
function fromEnvFile(file: string): [string, Uint8Array][] {
  const lines = readText(file)
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/);
  return lines.flatMap((line, index): [string, Uint8Array][] => {
    const text = line.trimStart();
    if (text === "" || text.startsWith("#")) return [];
    const separator = text.indexOf("=");
    const item = separator === -1 ? text.trimEnd() : text.slice(0, separator);
    if (!/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(item)) {
      throw new SignetError("secret-invalid", "does not begin with the name of a variable", {
        hint: "a line is NAME=VALUE; a comment begins with #",
        place: { file, line: index + 1 },
      });
    }
    const value = separator === -1 ? process.env[item] : text.slice(separator + 1);
    if (value === undefined) {
      throw new SignetError("secret-invalid", `the environment has no variable ${item}`, {
        hint: "NAME alone takes its value from there; NAME= is an empty value",
        place: { file, line: index + 1 },
      });
    }
    return [[item, new TextEncoder().encode(value)]];
  });
}

const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const DEFAULT_LENGTH = 32;

function generated(source: string): [string, Uint8Array] {
  const [item = "", ...rest] = source.split("=");
  const text = rest.length === 0 ? String(DEFAULT_LENGTH) : rest.join("=");
  const length = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (length < 8 || length > 1024) {
    throw new SignetError("usage", "the length of a generated value is from 8 to 1024", {
      hint: "such as --generate password=40",
    });
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
  const parsed = parsePem(cert, "is no PEM certificate", () => new X509Certificate(certificate));
  const fits = parsePem(key, "is no PEM private key, or is locked with a passphrase", () =>
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

/** What the library says may quote the key. */
function parsePem<T>(file: string, reason: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new SignetError("secret-invalid", reason, { place: { file } });
  }
}

function dockerConfig(flags: ValueFlags, password: Uint8Array): Uint8Array {
  const { dockerServer = DEFAULT_REGISTRY, dockerUsername: username = "", dockerEmail } = flags;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(password);
  } catch {
    throw new SignetError("secret-invalid", "the password of the registry is not UTF-8 text");
  }
  const account = {
    username,
    password: text,
    ...(dockerEmail === undefined ? {} : { email: dockerEmail }),
    auth: Buffer.from(`${username}:${text}`).toString("base64"),
  };
  return new TextEncoder().encode(JSON.stringify({ auths: { [dockerServer]: account } }));
}
