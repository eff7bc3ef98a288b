// Owns: `signet keys`: the sealing keys of a cluster, and what is still sealed under each.
// Does not own: the counting (the controller's), the way to it (cluster.ts). SPEC.md, "Retirement of keys".

import { SignetError } from "../shared/errors.ts";
import type { Json } from "../shared/manifest.ts";
import { asObject, type JsonObject, objectsIn } from "../shared/secret.ts";
import { fetchFromController } from "./cluster.ts";
import type { ClusterOptions } from "./kubeconfig.ts";
import { count, printResult } from "./terminal.ts";

/** @throws SignetError network, usage */
export async function runKeys(options: ClusterOptions & { readonly json: boolean }): Promise<void> {
  const { text, source } = await fetchFromController(options, "/v1/keys", "the report on keys");
  const report = parseReport(text, source);
  const unknown = asObject(report["unknown"] ?? null) ?? {};
  const nothingUnknown = unknown["values"] === 0;
  const keys = objectsIn(report["keys"]).map((key) => ({
    ...key,
    // Nothing that was applied to this cluster needs it.
    unused: key["values"] === 0 && key["state"] !== "sealing" && nothingUnknown,
  }));
  if (options.json) {
    await printResult(`${JSON.stringify({ keys, unknown }, null, 2)}\n`);
    return;
  }
  const rows = keys.map((key: JsonObject) =>
    ["state", "values", "sealedSecrets", "notBefore", "secret", "fingerprint"].map((name) =>
      key[name] === null ? "-" : String(key[name] as string | number),
    ),
  );
  const lines = table([
    ["STATE", "VALUES", "SEALEDSECRETS", "SINCE", "SECRET", "FINGERPRINT"],
    ...rows,
  ]);
  const unused = keys.filter((key) => key.unused).length;
  if (!nothingUnknown) {
    const values = count(Number(unknown["values"]), "value");
    const objects = count(Number(unknown["sealedSecrets"]), "SealedSecret");
    lines.push("", `${values} in ${objects} could not be opened: they may be under any key.`);
  } else if (unused > 0) {
    lines.push(
      "",
      `${count(unused, "key")} of no use to what is in this cluster. Before you delete one: what is`,
      "only in Git, or was never applied here, is not counted.",
    );
  }
  await printResult(`${lines.join("\n")}\n`);
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

/** Columns as wide as their widest cell, two spaces apart. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
