// The values that a command line names, for one Secret or for one in each of several clusters.
// SPEC.md, "Command line", "Values".

import { SignetError } from "../../shared/errors.ts";
import { askValues } from "./askvalues.ts";
import { type EnvFormat, fromEnvFile } from "./envfiles.ts";
import { checkItem } from "./itemnames.ts";
import { dockerConfig, fromFile, generated, tlsPair } from "./valuesources.ts";

/** Sources of values, as in `kubectl create secret`. */
export interface ValueFlags {
  /** Names of items; prompts for the values. */
  readonly fromLiteral?: readonly string[];
  /** `[ITEM=]FILE`, or a folder. */
  readonly fromFile?: readonly string[];
  readonly fromEnvFile?: readonly string[];
  /** How env files are read; kubectl by default. */
  readonly envFormat?: EnvFormat;
  /** `ITEM` or `ITEM=LENGTH`. */
  readonly generate?: readonly string[];
  readonly dockerServer?: string | undefined;
  readonly dockerUsername?: string | undefined;
  readonly dockerEmail?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
}

interface GivenValues {
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

/** By item. */
export type Values = ReadonlyMap<string, Uint8Array>;

/** How to prompt for values, and which items already have one. */
interface Asking {
  /** Named in the question, where each cluster has its own value. */
  readonly cluster?: string;
  readonly taken?: Values;
}

/** How the question names the value of a registry login. */
const DOCKER_PASSWORD = "password of the registry";

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
    for (const [item, value] of fromEnvFile(file, flags.envFormat ?? "kubectl")) add(item, value);
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
    throw new SignetError("usage", `${flag} requires --docker-username`);
  }
  const names = isDocker ? [...literals, DOCKER_PASSWORD] : literals;
  for (const [item, value] of await askValues(names, cluster)) {
    if (item === DOCKER_PASSWORD) {
      type = "kubernetes.io/dockerconfigjson";
      const account = { username: dockerUsername ?? "", server: dockerServer, email: dockerEmail };
      add(".dockerconfigjson", dockerConfig(account, value));
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
  /** As in `GivenValues`. */
  readonly type: string | undefined;
}

/**
 * Values for clusters of these names. Those that are prompted for or generated differ by cluster;
 * those from a file are the same in all. Without a name, all are shared.
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
