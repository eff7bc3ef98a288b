// Runs login plugins, the programs of a kubeconfig that print credentials, by the rules of
// client-go: `client.authentication.k8s.io`, v1 and v1beta1.

import { spawn } from "node:child_process";
import { isatty } from "node:tty";
import { SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { errnoOf } from "../errno.ts";
import { findProgram } from "../findprogram.ts";
import { callOf, type ProgramCall, UnsafeArgument } from "../platform.ts";
import type { Connection } from "./kubeconfig.ts";
import type { ClusterEntry, PluginEntry } from "./kubeconfigentries.ts";
import { fileOr } from "./kubeconfigfiles.ts";

/** What a plugin printed. Each part may be missing. */
export interface PluginCredentials {
  readonly token: string;
  readonly certificate: string;
  readonly key: string;
  /** When they expire, as `Date.now()` counts; Infinity if the plugin does not say. */
  readonly expiresAtMs: number;
}

/** Credentials are some kB. */
const MAX_OUTPUT_BYTES = 1024 * 1024;
const MAX_HINT = 1000;

/**
 * What plugins printed in this process, by all that a plugin is told: a plugin may ask a person, so
 * it runs once, and requests at the same time wait for the same run.
 */
const runs = new Map<string, Promise<PluginCredentials>>();

/**
 * The credentials of the connection's plugin. `limitMs` ends a plugin that nobody watches.
 * @throws SignetError network, with the plugin's name and no output of it
 */
export async function pluginCredentials(
  connection: Connection,
  limitMs: number | undefined,
): Promise<PluginCredentials> {
  const { exec: plugin } = connection.user;
  if (plugin === undefined) throw new Error("no plugin");
  const key = keyOf(connection, plugin);
  const known = runs.get(key);
  if (known !== undefined) {
    const credentials = await known;
    if (Date.now() <= credentials.expiresAtMs) return credentials;
    // Whoever comes first runs it again.
    if (runs.get(key) === known) runs.delete(key);
  }
  const running = runs.get(key) ?? run(connection, plugin, limitMs);
  runs.set(key, running);
  try {
    return await running;
  } catch (error) {
    if (runs.get(key) === running) runs.delete(key);
    throw error;
  }
}

/** Forgets what the plugin printed, which the API server refused. */
export function forgetCredentials(connection: Connection): void {
  const { exec: plugin } = connection.user;
  if (plugin !== undefined) runs.delete(keyOf(connection, plugin));
}

function keyOf({ cluster }: Connection, plugin: PluginEntry): string {
  return JSON.stringify([plugin, plugin.provideClusterInfo ? cluster : null]);
}

async function run(
  connection: Connection,
  plugin: PluginEntry,
  limitMs: number | undefined,
): Promise<PluginCredentials> {
  const failed = (words: string, hint?: string): SignetError =>
    new SignetError("network", `the login plugin ${JSON.stringify(plugin.command)} ${words}`, {
      hint: hint ?? `it is for ${connection.words}`,
    });
  const isTerminal = isatty(0);
  if (plugin.interactiveMode === "Always" && !isTerminal) {
    throw failed("asks questions, and standard input is not a terminal");
  }
  const isInteractive = isTerminal && plugin.interactiveMode !== "Never";
  const program = findProgram(plugin.command);
  if (program === undefined) throw failed("was not found", installHint(plugin));
  const added = Object.fromEntries(plugin.env.map(({ name, value }) => [name, value]));
  const info = JSON.stringify(requestOf(connection, plugin, isInteractive));
  const output = await outputOf(callOrFail(program, plugin, failed), limitMs, {
    env: { ...process.env, ...added, KUBERNETES_EXEC_INFO: info },
    isInteractive,
  }).catch((error: unknown) => {
    if (error instanceof PluginFailure) throw failed(error.message);
    throw failed(`cannot be run: ${errnoOf(error) ?? "unknown error"}`, installHint(plugin));
  });
  return credentialsIn(output, plugin.apiVersion, failed);
}

/** A plugin ran and gave no credentials; the message says how it ended. */
class PluginFailure extends Error {}

/** @throws SignetError network where Windows cannot give a batch file these arguments */
function callOrFail(
  program: string,
  { args }: PluginEntry,
  failed: (words: string, hint?: string) => SignetError,
): ProgramCall {
  try {
    return callOf(program, args);
  } catch (error) {
    if (!(error instanceof UnsafeArgument)) throw error;
    throw failed(
      "is a batch file, and one of its arguments has a character that those cannot take",
      'name a program that ends in .exe, or arguments without ", % and !',
    );
  }
}

function outputOf(
  { file, args, ...how }: ProgramCall,
  limitMs: number | undefined,
  { env, isInteractive }: { env: NodeJS.ProcessEnv; isInteractive: boolean },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      ...how,
      env,
      // What the plugin says, such as a code to type in elsewhere, is for the person.
      stdio: [isInteractive ? "inherit" : "ignore", "pipe", "inherit"],
      ...(limitMs === undefined ? {} : { timeout: limitMs, killSignal: "SIGKILL" }),
    });
    const chunks: Buffer[] = [];
    let length = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_OUTPUT_BYTES) {
        child.kill("SIGKILL");
        reject(new PluginFailure("printed too much"));
      }
    });
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (status === 0) resolve(Buffer.concat(chunks).toString("utf8"));
      else if (signal !== null) reject(new PluginFailure(`was ended by ${signal}`));
      else reject(new PluginFailure(`failed with exit code ${status ?? "unknown"}`));
    });
  });
}

/** The kubeconfig's words on how to get the plugin, in one line. */
function installHint({ installHint: hint }: PluginEntry): string {
  const line = hint.replace(/\s+/g, " ").trim().slice(0, MAX_HINT);
  return line === "" ? "install it, so that it is found in PATH" : line;
}

/** What a plugin finds in KUBERNETES_EXEC_INFO. */
function requestOf({ cluster }: Connection, plugin: PluginEntry, interactive: boolean): JsonObject {
  const spec: JsonObject = plugin.provideClusterInfo
    ? { cluster: clusterInfo(cluster), interactive }
    : { interactive };
  return { kind: "ExecCredential", apiVersion: plugin.apiVersion, spec };
}

function clusterInfo(cluster: ClusterEntry): JsonObject {
  const { certificateAuthority: file, certificateAuthorityData: data } = cluster;
  const authority = Buffer.from(fileOr(data, file), "latin1");
  return {
    server: cluster.server,
    ...(cluster.tlsServerName === "" ? {} : { "tls-server-name": cluster.tlsServerName }),
    ...(cluster.insecureSkipTlsVerify ? { "insecure-skip-tls-verify": true } : {}),
    ...(authority.length === 0
      ? {}
      : { "certificate-authority-data": authority.toString("base64") }),
    ...(cluster.proxyUrl === "" ? {} : { "proxy-url": cluster.proxyUrl }),
    ...(cluster.disableCompression ? { "disable-compression": true } : {}),
    config: cluster.pluginConfig,
  };
}

function credentialsIn(
  output: string,
  apiVersion: string,
  failed: (words: string) => SignetError,
): PluginCredentials {
  let value: Json | undefined;
  try {
    value = parseManifests(output)[0]?.value;
  } catch {
    // The reason could lead to the output, which is a credential.
  }
  const answer = asObject(value ?? null);
  if (answer === null) throw failed("printed what is not an ExecCredential");
  if (answer["kind"] !== "ExecCredential" || answer["apiVersion"] !== apiVersion) {
    throw failed(`printed what is not an ExecCredential of ${apiVersion}`);
  }
  const status = asObject(answer["status"] ?? null);
  if (status === null) throw failed("printed an ExecCredential without a status");
  const text = (field: string): string => {
    const found = status[field] ?? "";
    if (typeof found !== "string") throw failed(`printed a status whose ${field} is not text`);
    return found;
  };
  const [token, certificate, key, expires] = [
    text("token"),
    text("clientCertificateData"),
    text("clientKeyData"),
    text("expirationTimestamp"),
  ];
  if ((certificate === "") !== (key === "")) {
    throw failed("printed only one of client certificate and key");
  }
  if (token === "" && certificate === "") {
    throw failed("printed neither a token nor a client certificate");
  }
  const expiresAtMs = expires === "" ? Infinity : Date.parse(expires);
  if (Number.isNaN(expiresAtMs)) throw failed("printed an expirationTimestamp that is not a time");
  return { token, certificate, key, expiresAtMs };
}
