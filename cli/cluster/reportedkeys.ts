// The controller's report on its sealing keys: which it holds, and how much is sealed under each.
// SPEC.md, "Retirement of keys".

import { SignetError } from "../../shared/errors.ts";
import {
  asObject,
  type JsonObject,
  jsonObjectIn,
  objectsIn,
} from "../../shared/kubernetes/object.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { count } from "../terminal/counts.ts";
import type { ClusterOptions } from "./clusteroptions.ts";
import { connectController, fetchFromController } from "./controller.ts";

export interface ValueCount {
  readonly values: number;
  readonly sealedSecrets: number;
}

/** `3 values in 2 SealedSecrets`. */
export function countWords({ values, sealedSecrets }: ValueCount): string {
  return `${count(values, "value")} in ${count(sealedSecrets, "SealedSecret")}`;
}

/** A sealing key, as the controller reports it. */
export interface ReportedKey extends ValueCount {
  readonly fingerprint: string;
  /** The name of its Secret. */
  readonly secret: string;
  /** `sealing`, `former`, `compromised`, `unconfirmed`. */
  readonly state: string;
  /** The size of the RSA key; null if the controller does not tell. */
  readonly bits: number | null;
  /** What its halves open, such as `rsa` and `hybrid`; empty if the controller does not tell. */
  readonly algorithms: readonly string[];
  readonly notBefore: string | null;
  readonly notAfter: string | null;
  /** No SealedSecret in the cluster needs it. */
  readonly unused: boolean;
  /** How a key service wrapped it; null if its Secret holds it in plain text. */
  readonly wrapped: ReportedWrapping | null;
}

interface ReportedWrapping {
  readonly provider: string;
  /** The key of the service. */
  readonly key: string;
  readonly since: string;
}

/** The controller's keys, the newest first. */
export interface KeyReport {
  readonly keys: readonly ReportedKey[];
  /** Values that do not open. */
  readonly unknown: ValueCount;
  /** The controller's key service; null if it has none. */
  readonly kms: { readonly provider: string; readonly mode: string } | null;
}

/** Keys that a controller has, by fingerprint. */
export interface HeldKeys {
  readonly states: ReadonlyMap<string, string>;
  /** False for the Go original, which tells only the key that seals. */
  readonly isComplete: boolean;
}

/** @throws SignetError network, usage, certificate-invalid */
export async function fetchHeldKeys(options: ClusterOptions): Promise<HeldKeys> {
  const controller = await connectController(options);
  const answer = await controller.request("GET", "/v1/keys");
  if (answer.status !== 404) {
    const { keys } =
      answer.status === 200
        ? reportIn(answer.text, controller.source)
        : await fetchKeyReport(options);
    const states = new Map(keys.map(({ fingerprint, state }) => [fingerprint, state]));
    return { states, isComplete: true };
  }
  const { text } = await fetchFromController(options, "/v1/cert.pem", "certificate");
  const { fingerprint } = parseCertificate(text);
  return { states: new Map([[fingerprint, "sealing"]]), isComplete: false };
}

/** @throws SignetError network, usage */
export async function fetchKeyReport(options: ClusterOptions): Promise<KeyReport> {
  const { text, source } = await fetchFromController(options, "/v1/keys", "the report on keys");
  return reportIn(text, source);
}

function reportIn(text: string, source: string): KeyReport {
  const report = parseReport(text, source);
  const unknown = valueCount(asObject(report["unknown"] ?? null) ?? {});
  const keys = objectsIn(report["keys"]).map((key): ReportedKey => {
    const counted = valueCount(key);
    const state = textOf(key["state"]) ?? "";
    return {
      fingerprint: textOf(key["fingerprint"]) ?? "",
      secret: textOf(key["secret"]) ?? "",
      state,
      bits: typeof key["bits"] === "number" ? key["bits"] : null,
      algorithms: textsIn(key["algorithms"]),
      notBefore: textOf(key["notBefore"]),
      notAfter: textOf(key["notAfter"]),
      ...counted,
      unused: counted.values === 0 && state !== "sealing" && unknown.values === 0,
      wrapped: wrappingIn(asObject(key["wrapped"] ?? null)),
    };
  });
  const kms = asObject(report["kms"] ?? null);
  const service =
    kms === null
      ? null
      : { provider: textOf(kms["provider"]) ?? "", mode: textOf(kms["mode"]) ?? "" };
  return { keys, unknown, kms: service };
}

function wrappingIn(wrapped: JsonObject | null): ReportedWrapping | null {
  if (wrapped === null) return null;
  const text = (name: string): string => textOf(wrapped[name]) ?? "";
  return { provider: text("provider"), key: text("key"), since: text("since") };
}

function valueCount({ values, sealedSecrets }: JsonObject): ValueCount {
  return { values: Number(values), sealedSecrets: Number(sealedSecrets) };
}

function textsIn(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

function textOf(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}

function parseReport(text: string, source: string): JsonObject {
  const report = jsonObjectIn(text);
  if (report !== null && Array.isArray(report["keys"])) return report;
  throw new SignetError("network", `${source} did not return a report on its keys`, {
    hint: "the Go original has no such report; is signet-controller running there?",
  });
}
