// Reads the entries of one kubeconfig file: clusters, users and contexts, with the types that
// client-go gives their fields.

import { sep } from "node:path";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { TypedFields as Fields } from "./typedfields.ts";

/** A cluster. Text that is not given is empty; paths are absolute. */
export interface ClusterEntry {
  readonly server: string;
  readonly tlsServerName: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly certificateAuthority: string;
  readonly certificateAuthorityData: string;
  readonly proxyUrl: string;
  readonly disableCompression: boolean;
  /** The content of the cluster's extension for login plugins. */
  readonly pluginConfig: Json;
}

/** A user. Text that is not given is empty; paths are absolute. */
export interface UserEntry {
  readonly clientCertificate: string;
  readonly clientCertificateData: string;
  readonly clientKey: string;
  readonly clientKeyData: string;
  readonly token: string;
  readonly tokenFile: string;
  readonly username: string;
  readonly password: string;
  readonly as: string;
  readonly asUid: string;
  readonly asGroups: readonly string[];
  readonly asUserExtra: ReadonlyMap<string, readonly string[]>;
  readonly authProvider: AuthProvider | undefined;
  readonly exec: PluginEntry | undefined;
}

/** A login method of older kubeconfigs: `oidc`, and those of clouds before plugins. */
interface AuthProvider {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

/** A login plugin, which is a program that prints credentials. */
export interface PluginEntry {
  readonly apiVersion: string;
  /** Absolute if it has a slash; otherwise a name to look up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly installHint: string;
  readonly provideClusterInfo: boolean;
  /** Never, IfAvailable or Always; anything else is an error in the file. */
  readonly interactiveMode: string;
}

export interface ContextEntry {
  readonly cluster: string;
  readonly user: string;
  readonly namespace: string;
}

/** An entry and the file that it is from. */
export interface Named<T> {
  readonly entry: T;
  readonly file: string;
}

export interface Kubeconfig {
  readonly currentContext: string;
  readonly clusters: ReadonlyMap<string, Named<ClusterEntry>>;
  readonly users: ReadonlyMap<string, Named<UserEntry>>;
  readonly contexts: ReadonlyMap<string, Named<ContextEntry>>;
}

export const NO_USER = userOf(new Fields({}, ""));
export const NO_CLUSTER = clusterOf(new Fields({}, ""));

/**
 * Parses one kubeconfig file. As in kubectl, only the first document of a YAML stream counts.
 * @throws SignetError io, whose message quotes only names of fields and entries
 */
export function parseKubeconfig(text: string, file: string): Kubeconfig {
  const [document] = parseManifests(text, { file });
  const fields = new Fields(document?.value, file);
  const [apiVersion, kind] = [fields.text("apiVersion"), fields.text("kind")];
  if (!["", "v1"].includes(apiVersion)) throw fields.wrong("apiVersion", "is not v1");
  if (!["", "Config"].includes(kind)) throw fields.wrong("kind", "is not Config");
  return {
    currentContext: fields.text("current-context"),
    clusters: named(fields, "clusters", "cluster", clusterOf),
    users: named(fields, "users", "user", userOf),
    contexts: named(fields, "contexts", "context", contextOf),
  };
}

function named<T>(
  fields: Fields,
  list: string,
  field: string,
  read: (fields: Fields) => T,
): Map<string, Named<T>> {
  const entries = new Map<string, Named<T>>();
  for (const each of fields.list(list)) {
    const name = each.text("name");
    if (entries.has(name)) {
      throw each.wrong("name", `${JSON.stringify(name)} appears twice in this file`);
    }
    entries.set(name, { entry: read(each.object(field)), file: fields.file });
  }
  return entries;
}

function clusterOf(fields: Fields): ClusterEntry {
  const extension = fields
    .list("extensions")
    .find((each) => each.text("name") === "client.authentication.k8s.io/exec");
  return {
    server: fields.text("server"),
    tlsServerName: fields.text("tls-server-name"),
    insecureSkipTlsVerify: fields.flag("insecure-skip-tls-verify"),
    certificateAuthority: fields.path("certificate-authority"),
    certificateAuthorityData: fields.bytes("certificate-authority-data"),
    proxyUrl: fields.text("proxy-url"),
    disableCompression: fields.flag("disable-compression"),
    pluginConfig: extension?.value("extension") ?? null,
  };
}

function userOf(fields: Fields): UserEntry {
  return {
    clientCertificate: fields.path("client-certificate"),
    clientCertificateData: fields.bytes("client-certificate-data"),
    clientKey: fields.path("client-key"),
    clientKeyData: fields.bytes("client-key-data"),
    token: fields.text("token"),
    tokenFile: fields.path("tokenFile"),
    username: fields.text("username"),
    password: fields.text("password"),
    as: fields.text("as"),
    asUid: fields.text("as-uid"),
    asGroups: fields.texts("as-groups"),
    asUserExtra: fields.object("as-user-extra").map((extra, name) => extra.texts(name)),
    authProvider: fields.has("auth-provider")
      ? authProviderOf(fields.object("auth-provider"))
      : undefined,
    exec: fields.has("exec") ? pluginOf(fields.object("exec")) : undefined,
  };
}

function authProviderOf(fields: Fields): AuthProvider {
  const config = fields.object("config").map((each, name) => each.text(name));
  return { name: fields.text("name"), config: Object.fromEntries(config) };
}

function pluginOf(fields: Fields): PluginEntry {
  const apiVersion = fields.text("apiVersion");
  const command = fields.text("command");
  // Only v1 requires a kubeconfig to set it.
  const usual = /\/v1(alpha|beta)1$/.test(apiVersion) ? "IfAvailable" : "";
  return {
    apiVersion,
    command: command.includes("/") || command.includes(sep) ? fields.path("command") : command,
    args: fields.texts("args"),
    env: fields.list("env").map((each) => ({ name: each.text("name"), value: each.text("value") })),
    installHint: fields.text("installHint"),
    provideClusterInfo: fields.flag("provideClusterInfo"),
    interactiveMode: fields.text("interactiveMode") || usual,
  };
}

function contextOf(fields: Fields): ContextEntry {
  return {
    cluster: fields.text("cluster"),
    user: fields.text("user"),
    namespace: fields.text("namespace"),
  };
}
