// `signet keys list`: the sealing keys of a cluster, and what is still sealed under each.
// SPEC.md, "Retirement of keys".

import { SignetError } from "../../../shared/errors.ts";
import type { Json } from "../../../shared/manifest/manifest.ts";
import { asObject, type JsonObject, objectsIn } from "../../../shared/kubernetes/object.ts";
import { fetchFromController } from "../../cluster/controllerproxy.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import { table } from "../../terminal/table.ts";
import { count } from "../../terminal/words.ts";
import { printJson, printLines } from "../../terminal/results.ts";

/** @throws SignetError network, usage */
export async function runKeysList(
  options: ClusterOptions & { readonly json: boolean },
): Promise<void> {
  const report = await fetchKeyReport(options);
  const { keys, unknown } = report;
  if (options.json) {
    await printJson(report);
    return;
  }
  const rows = keys.map(({ state, values, sealedSecrets, notBefore, secret, fingerprint }) => [
    state,
    String(values),
    String(sealedSecrets),
    notBefore ?? "-",
    secret,
    fingerprint,
  ]);
  const lines = table([
    ["STATE", "VALUES", "SEALEDSECRETS", "SINCE", "SECRET", "FINGERPRINT"],
    ...rows,
  ]);
  const unused = keys.filter((key) => key.unused).length;
  if (unknown.values > 0) {
    lines.push("", `${countWords(unknown)} could not be opened: they may be under any key.`);
  } else if (unused > 0) {
    lines.push(
      "",
      `${count(unused, "key")} of no use to what is in this cluster. Before you retire one: what is`,
      "only in Git, or was never applied here, is not counted.",
    );
  }
  await printLines(lines);
}

export interface ValueCount {
  readonly values: number;
  readonly sealedSecrets: number;
}

/** `3 values in 2 SealedSecrets`. */
export function countWords({ values, sealedSecrets }: ValueCount): string {
  return `${count(values, "value")} in ${count(sealedSecrets, "SealedSecret")}`;
}

/** A sealing key as the controller tells of it. */
export interface ReportedKey extends ValueCount {
  readonly fingerprint: string;
  /** The name of its Secret. */
  readonly secret: string;
  /** `sealing`, `active`, `compromised`. */
  readonly state: string;
  readonly notBefore: string | null;
  readonly notAfter: string | null;
  /** Nothing that was applied to this cluster needs it. */
  readonly unused: boolean;
}

/** What the controller tells of its keys: the newest first. */
export interface KeyReport {
  readonly keys: readonly ReportedKey[];
  /** What does not open as it stands. */
  readonly unknown: ValueCount;
}

/** @throws SignetError network, usage */
export async function fetchKeyReport(options: ClusterOptions): Promise<KeyReport> {
  const { text, source } = await fetchFromController(options, "/v1/keys", "the report on keys");
  const report = parseReport(text, source);
  const unknown = valueCount(asObject(report["unknown"] ?? null) ?? {});
  const keys = objectsIn(report["keys"]).map((key): ReportedKey => {
    const counted = valueCount(key);
    const state = textOf(key["state"]) ?? "";
    return {
      fingerprint: textOf(key["fingerprint"]) ?? "",
      secret: textOf(key["secret"]) ?? "",
      state,
      notBefore: textOf(key["notBefore"]),
      notAfter: textOf(key["notAfter"]),
      ...counted,
      unused: counted.values === 0 && state !== "sealing" && unknown.values === 0,
    };
  });
  return { keys, unknown };
}

function valueCount({ values, sealedSecrets }: JsonObject): ValueCount {
  return { values: Number(values), sealedSecrets: Number(sealedSecrets) };
}

function textOf(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}

function parseReport(text: string, source: string): JsonObject {
  try {
    const report = asObject(JSON.parse(text) as Json);
    if (report !== null && Array.isArray(report["keys"])) return report;
  } catch {
    // Told below.
  }
  throw new SignetError("network", `${source} answers with something that is no report on keys`, {
    hint: "the Go original has none; is signet-controller running there?",
  });
}
