// `signet keys list`: a cluster's sealing keys, and how many values each of them sealed.
// SPEC.md, "Retirement of keys".

import { HYBRID } from "../../../shared/envelopes/hybrid.ts";
import { isShort } from "../../../shared/keys/rsakey.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import {
  countWords,
  fetchKeyReport,
  type KeyReport,
  type ReportedKey,
} from "../../cluster/reportedkeys.ts";
import { type FactFormat, printFacts } from "../../terminal/facts.ts";
import { type Line } from "../../terminal/line.ts";
import { styledState } from "../../terminal/states.ts";
import { table } from "../../terminal/table.ts";
import { count } from "../../terminal/counts.ts";
import { sayPlace } from "./keyplace.ts";

/** @throws SignetError network, usage */
export async function runKeysList(
  options: ClusterOptions & { readonly format: FactFormat },
): Promise<void> {
  await sayPlace(options);
  const report = await fetchKeyReport(options);
  await printFacts(options.format, {
    value: report,
    lines: () => [...keyTable(report), ...keyWords(report)],
    wide: () => [...keyTable(report, Infinity), ...keyWords(report)],
    names: () => report.keys.map(({ secret }) => secret),
  });
}

function keyTable({ keys, kms }: KeyReport, width?: number): Line[] {
  const hasWrapped = kms !== null || keys.some(({ wrapped }) => wrapped !== null);
  // If all keys are RSA only, the column says nothing.
  const hasHybrid = keys.some(({ algorithms }) => algorithms.includes(HYBRID));
  const rows = keys.map((key) => [
    styledState(key.state),
    String(key.values),
    String(key.sealedSecrets),
    key.notBefore ?? "-",
    key.secret,
    key.fingerprint,
    ...(hasHybrid ? [key.algorithms.join(", ") || "-"] : []),
    ...(hasWrapped ? wrappingColumns(key) : []),
  ]);
  const heads = [
    ...["STATE", "VALUES", "SEALEDSECRETS", "SINCE", "SECRET", "FINGERPRINT"],
    ...(hasHybrid ? ["ALGORITHMS"] : []),
    ...(hasWrapped ? ["WRAPPED BY", "WRAPPED SINCE", "KMS KEY"] : []),
  ];
  return table([heads, ...rows], width);
}

/** Notes below the table of keys. */
function keyWords({ keys, unknown, kms }: KeyReport): string[] {
  const lines: string[] = [];
  const exposed = keys.filter(({ wrapped }) => wrapped === null).length;
  if (kms?.mode === "wrap" && exposed > 0) {
    lines.push("", `${count(exposed, "key")} stored in plain text: run \`signet keys wrap\`.`);
  }
  const unused = keys.filter((key) => key.unused).length;
  if (unknown.values > 0) {
    lines.push("", `${countWords(unknown)} could not be opened: they may need any of the keys.`);
  } else if (unused > 0) {
    lines.push(
      "",
      `${count(unused, "key")} no longer used by anything in this cluster. Before you retire one: values that are`,
      "only in Git, or were never applied here, are not counted.",
    );
  }
  for (const { bits, secret } of keys) {
    if (bits === null || !isShort({ bits })) continue;
    const advice = "`signet keys rotate`, then `signet reseal`";
    lines.push("", `${secret} has only ${bits} bits, and may be broken: run ${advice}.`);
  }
  const unconfirmed = keys.filter(({ state }) => state === "unconfirmed").length;
  if (unconfirmed > 0) {
    lines.push(
      "",
      `${count(unconfirmed, "key")} unconfirmed, so it can only open. If it is yours and should seal, run \`signet keys adopt\`;`,
      "if you do not know it, find out who added it.",
    );
  }
  return lines;
}

function wrappingColumns({ wrapped }: ReportedKey): string[] {
  if (wrapped === null) return ["-", "-", "-"];
  return [wrapped.provider, wrapped.since, wrapped.key];
}
