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
  // Where each has RSA alone, there is nothing to tell.
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

/** What to know about the keys, below them. */
function keyWords({ keys, unknown, kms }: KeyReport): string[] {
  const lines: string[] = [];
  const exposed = keys.filter(({ wrapped }) => wrapped === null).length;
  if (kms?.mode === "wrap" && exposed > 0) {
    lines.push("", `${count(exposed, "key")} in plain text: \`signet keys wrap\`.`);
  }
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
  for (const { bits, secret } of keys) {
    if (bits === null || !isShort({ bits })) continue;
    const advice = "`signet keys rotate`, then `signet reseal`";
    lines.push("", `${secret} has ${bits} bits only, and may be broken: ${advice}.`);
  }
  const unconfirmed = keys.filter(({ state }) => state === "unconfirmed").length;
  if (unconfirmed > 0) {
    lines.push(
      "",
      `${count(unconfirmed, "key")} unconfirmed: opens only. If it is yours and has to seal: \`signet keys adopt\`;`,
      "if you do not know it, find out who put it there.",
    );
  }
  return lines;
}

function wrappingColumns({ wrapped }: ReportedKey): string[] {
  if (wrapped === null) return ["-", "-", "-"];
  return [wrapped.provider, wrapped.since, wrapped.key];
}
