// The facts of `signet status` as text.

import { HYBRID } from "../../../shared/envelopes/hybrid.ts";
import { count, shortFingerprint } from "../../terminal/counts.ts";
import { type Line, type Part, styled } from "../../terminal/line.ts";
import { styledState } from "../../terminal/states.ts";
import { type ClusterFacts, countsOf, type Facts, STATES } from "./statusfacts.ts";
import { statusTable } from "./statusrows.ts";

interface Unreadable {
  readonly code: string;
  readonly file: string | undefined;
  readonly message: string;
}

interface Reading {
  /** How many files were read for the SealedSecrets. */
  readonly listed: string;
  /** And for the keys. */
  readonly all: string;
  /** Those of `listed` that have a Secret in plain text. */
  readonly plaintext: readonly string[];
}

/**
 * The counts of all SealedSecrets, the table of those in `listed`, the problems of all, and the keys.
 * `hidden`: how many more match but need no attention.
 */
export function statusLines(
  facts: readonly Facts[],
  { listed, hidden }: { readonly listed: readonly Facts[]; readonly hidden: number },
  unreadable: readonly Unreadable[],
  clusters: readonly ClusterFacts[],
  reading: Reading,
  isWide = false,
): Line[] {
  const sealed = facts.length === 0 ? `no sealed files (${reading.listed})` : countLine(facts);
  const lines: Line[] = [[sealed, ...plaintextParts(reading.plaintext)]];
  const rows = statusTable(listed, isWide);
  if (rows.length > 0) lines.push("", ...rows);
  if (hidden > 0) {
    const words = `${count(hidden, "SealedSecret")} that need no attention not listed; use --all to list all`;
    lines.push([styled(words, "dim")]);
  }
  lines.push(...problemLines(facts, unreadable), ...warningLines(facts));
  for (const each of clusters) lines.push("", ...clusterLines(each, reading.all));
  return lines;
}

function problemLines(facts: readonly Facts[], unreadable: readonly Unreadable[]): Line[] {
  const problems = [
    ...facts.flatMap(({ file, problems: each }) => each.map((problem) => ({ ...problem, file }))),
    ...unreadable,
  ];
  if (problems.length === 0) return [];
  return [
    "",
    [styled("Problems:", "red")],
    ...problems.map(({ file = "", message, code }): Line => [
      `  ${file}: ${message}`,
      styled(` [${code}]`, "dim"),
    ]),
  ];
}

function warningLines(facts: readonly Facts[]): Line[] {
  const warnings = facts.flatMap(({ file, warnings: each }) =>
    each.map((warning) => ({ ...warning, file })),
  );
  if (warnings.length === 0) return [];
  return [
    "",
    [styled("Warnings:", "yellow")],
    ...warnings.map(({ file, message, code }): Line => [
      `  ${file}: ${message}`,
      styled(` [${code}]`, "dim"),
    ]),
  ];
}

function countLine(facts: readonly Facts[]): string {
  const counts = countsOf(facts);
  const parts = STATES.filter((state) => counts[state] > 0).map(
    (state) => `${counts[state]} ${state}`,
  );
  return `${count(counts.total, "SealedSecret")}: ${parts.join(", ")}`;
}

/** Nothing where none was found: `signet scan` looks at more files. */
function plaintextParts([first, ...others]: readonly string[]): Part[] {
  if (first === undefined) return [];
  const which = others.length === 0 ? first : `${others.length + 1} files`;
  return ["; ", styled(`${which} in plain text`, "red"), ": run `signet scan`"];
}

function clusterLines(
  { cluster, certificate, daysLeft: left, asked, notSynced, keys, ...rest }: ClusterFacts,
  reading: string,
): Line[] {
  const state =
    certificate === "missing"
      ? `no certificate yet: run \`signet cert refresh ${cluster}\``
      : certificate === "expired"
        ? `its certificate has EXPIRED: run \`signet cert refresh ${cluster}\``
        : `certificate valid for ${count(left ?? 0, "day")}`;
  const lines: Line[] = [
    [
      styled(`Keys of ${cluster}`, "bold"),
      " (",
      styled(state, certificate === "valid" ? undefined : "red"),
      "):",
    ],
    ...algorithmLines(rest),
  ];
  for (const {
    fingerprint,
    state: keyState,
    since,
    ageDays: age,
    values,
    safe,
    blockedBy,
  } of keys) {
    const old = since === null ? "" : `, since ${since.slice(0, 10)} (${count(age ?? 0, "day")})`;
    const head = [
      `  ${shortFingerprint(fingerprint)}  `,
      styledState(keyState),
      `${old}: ${count(values, "value")}`,
    ];
    const verdict =
      keyState === "sealing"
        ? ""
        : safe
          ? asked
            ? `; SAFE to retire (files: ${reading})`
            : `; no file needs it (${reading}); check the cluster with --live`
          : "; blocked by";
    lines.push([...head, verdict], ...shortened(blockedBy).map((reason) => `    ${reason}`));
  }
  if (keys.some(({ safe }) => safe)) {
    lines.push("  Older commits may still need a key that is safe to retire: keep it in a backup.");
  }
  if (notSynced.length > 0) {
    const failures = notSynced.map(({ sealedSecret, why }) => `${sealedSecret}: ${why}`);
    lines.push(
      `  ${count(notSynced.length, "SealedSecret")} in the cluster not synced:`,
      ...shortened(failures).map((failure) => `    ${failure}`),
    );
  }
  return lines;
}

/** Empty if all values are RSA and there is nothing else to move to. */
function algorithmLines({
  algorithms,
  sealsWith,
}: Pick<ClusterFacts, "algorithms" | "sealsWith">): string[] {
  const { hybrid = 0, rsa = 0 } = algorithms;
  if (hybrid === 0 && !sealsWith.includes(HYBRID)) return [];
  const back = hybrid > 0 && !sealsWith.includes(HYBRID) ? "; its certificate offers RSA only" : "";
  return [`  values: ${hybrid} hybrid, ${rsa} RSA${back}`];
}

const MAX_SHOWN = 10;

function shortened(lines: readonly string[]): string[] {
  const more = lines.length - MAX_SHOWN;
  return [...lines.slice(0, MAX_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])];
}
