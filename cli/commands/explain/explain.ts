// `signet explain`: what an error code or a rule means, and what to do.
// SPEC.md, "Command line".

import type { Command } from "commander";
import { ERROR_CODES, SignetError } from "../../../shared/errors.ts";
import { type Explanation, RULES } from "../../checks/rules.ts";
import { factFormatOption, factJsonOption } from "../../options.ts";
import { UNEXPECTED } from "../../terminal/reporterror.ts";
import { type FactFormat, printFacts } from "../../terminal/facts.ts";
import { type Line, styled } from "../../terminal/line.ts";
import { table } from "../../terminal/table.ts";
import { helpWidth, reflowed } from "../../terminal/width.ts";
import { ERROR_WORDS, UNEXPECTED_WORDS } from "./errorcodes.ts";

const HELP = `
On a terminal, or with --verbose, errors end with their code in brackets. Findings of verify, scan and
status always end with their rule. With --json, both have a field "code"; a command that fails before it
prints a result prints its errors as JSON. Without CODE, this lists every code and rule.

Examples:
  $ signet explain
  $ signet explain decrypt-failed`;

interface Explained extends Explanation {
  readonly code: string;
  /** Commands that report it as a finding; absent for an error. */
  readonly reportedBy?: readonly string[];
  /** The exit status of a command that fails with this error. */
  readonly exitStatus?: number;
}

const ALL: readonly Explained[] = [
  ...Object.entries(ERROR_WORDS).map(([code, words]) => ({
    code,
    exitStatus: ERROR_CODES[code as keyof typeof ERROR_WORDS].exitStatus,
    ...words,
  })),
  { code: UNEXPECTED, exitStatus: 1, ...UNEXPECTED_WORDS },
  ...Object.entries(RULES).map(([code, { from, ...words }]) => ({
    code,
    reportedBy: from,
    ...words,
  })),
];

export function define(command: Command): void {
  command
    .argument("[CODE]")
    .usage("[OPTION...] [CODE]")
    .description("Explain what an error code, or a rule of verify or scan, means and what to do.")
    .addOption(factFormatOption())
    .addOption(factJsonOption())
    .addHelpText("after", HELP)
    .action((code: string | undefined, { format }: { readonly format: FactFormat }) =>
      runExplain(code, format),
    );
}

/** @throws SignetError usage for an unknown code */
async function runExplain(code: string | undefined, format: FactFormat): Promise<void> {
  if (code === undefined) {
    const rows = [["CODE", "FROM", "MEANING"], ...ALL.map(rowOf)];
    await printFacts(format, {
      value: ALL,
      lines: () => table(rows),
      wide: () => table(rows, Infinity),
      names: () => ALL.map((each) => each.code),
    });
    return;
  }
  const explained = ALL.find((each) => each.code === code);
  if (explained === undefined) {
    throw new SignetError("usage", `unknown code ${JSON.stringify(code)}`, {
      hint: "run `signet explain` to list all codes",
    });
  }
  await printFacts(format, {
    value: explained,
    lines: () => linesOf(explained),
    wide: () => linesOf(explained),
    names: () => [explained.code],
  });
}

function rowOf({ code, reportedBy, means }: Explained): string[] {
  return [code, reportedBy?.join(", ") ?? "error", means];
}

function linesOf({ code, reportedBy, exitStatus, means, why, fix }: Explained): Line[] {
  const origin =
    reportedBy === undefined
      ? `error, exit status ${exitStatus}`
      : `finding of signet ${reportedBy.join(" and signet ")}`;
  const text = `\n${means}\n\nWhy: ${why}\n\nWhat to do: ${fix}`;
  const lines = text.split("\n").flatMap((line) => reflowed(line, helpWidth()).split("\n"));
  return [[styled(code, "bold"), ` (${origin})`], ...lines];
}
