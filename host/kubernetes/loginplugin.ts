// Runs login plugins, the programs in a kubeconfig that print credentials, as client-go does:
// `client.authentication.k8s.io`, v1 and v1beta1.

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

/** The credentials that a plugin printed. Each part may be missing. */
export interface PluginCredentials {
  readonly token: string;
  readonly certificate: string;
  readonly key: string;
  /** When they expire, as `Date.now()` counts; Infinity if the plugin does not say. */
  readonly expiresAtMs: number;
}

/** Credentials take a few kB. */
const MAX_OUTPUT_BYTES = 1024 * 1024;
const MAX_HINT = 1000;

/**
 * The output of plugins in this process, by their complete input. A plugin may ask the user, so it
 * runs once, and concurrent requests wait for the same run.
 */
const runs = new Map<string, Promise<PluginCredentials>>();

/**
 * The credentials of the connection's plugin. `limitMs`: a time limit for a plugin that runs
 * unattended.
 * @throws SignetError network, whose message has the plugin's name but none of its output
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
    // The first caller runs it again.
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

/** Forgets the plugin's credentials, which the API server refused. */
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
    throw failed("needs to ask questions, but standard input is not a terminal");
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

/** A plugin ran but printed no credentials; the message says how it ended. */
class PluginFailure extends Error {}

/** @throws SignetError network if Windows cannot pass these arguments to a batch file */
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
      "is a batch file, and one of its arguments has a character that cannot be passed to it",
      'use a program that ends in .exe, or arguments without ", % and !',
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
      // The plugin's messages, such as a code to enter elsewhere, are for the user.
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
      else if (signal !== null) reject(new PluginFailure(`was terminated by ${signal}`));
      else reject(new PluginFailure(`failed with exit code ${status ?? "unknown"}`));
    });
  });
}

/** The kubeconfig's hint on how to install the plugin, in one line. */
function installHint({ installHint: hint }: PluginEntry): string {
  const line = hint.replace(/\s+/g, " ").trim().slice(0, MAX_HINT);
  return line === "" ? "install it in a folder of PATH" : line;
}

/** The content of KUBERNETES_EXEC_INFO for a plugin. */
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
    // The parser's error could quote the output, which is a credential.
  }
  const answer = asObject(value ?? null);
  if (answer === null) throw failed("did not print an ExecCredential");
  if (answer["kind"] !== "ExecCredential" || answer["apiVersion"] !== apiVersion) {
    throw failed(`did not print an ExecCredential of ${apiVersion}`);
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
