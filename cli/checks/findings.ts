// The findings of checks as text, JSON, and the formats of GitHub, GitLab, SARIF and JUnit.
// SPEC.md, "Whole repositories".

import { createHash } from "node:crypto";
import { relative, resolve } from "node:path";
import { slashed } from "../../host/platform.ts";
import { samePlace } from "../../host/readfile.ts";
import { SignetError } from "../../shared/errors.ts";
import { VERSION } from "../../shared/version.ts";
import { workTree } from "../git/gitprocess.ts";
import { count } from "../terminal/counts.ts";
import { FACT_FORMATS, shownYaml } from "../terminal/facts.ts";
import { type Line, styled } from "../terminal/line.ts";
import { printLines, printResult } from "../terminal/results.ts";
import { shownJson, shownLine } from "../terminal/shown.ts";
import { say } from "../terminal/messages.ts";
import { type Rule, RULES } from "./rules.ts";

export const FINDING_FORMATS = [...FACT_FORMATS, "github", "gitlab", "sarif", "junit"] as const;
export type FindingFormat = (typeof FINDING_FORMATS)[number];

/** No part of it quotes a value. */
export interface Finding {
  readonly rule: Rule;
  readonly severity: "error" | "warning";
  readonly file: string;
  /** From 1. */
  readonly line?: number;
  readonly object?: string;
  readonly message: string;
}

/** What a check covered, for its last line and for formats that list what passed. */
export interface Checked {
  readonly command: "verify" | "scan";
  /** Such as `12 SealedSecrets in 9 files`. */
  readonly what: string;
  /** How many files were checked. */
  readonly files: number;
  /** What was checked and what was not, for programs. */
  readonly counts: Readonly<Record<string, number>>;
  /** Files without a finding. */
  readonly passed: readonly string[];
}

/**
 * Prints a report.
 * @throws SignetError check-found where there is an error, or with `strict` anything
 */
export async function report(
  findings: readonly Finding[],
  checked: Checked,
  { format, strict }: { readonly format: FindingFormat; readonly strict: boolean },
): Promise<void> {
  const isProse = format === "text" || format === "wide";
  if (isProse) {
    await printLines(findings.flatMap((finding) => findingLines(finding, format === "wide")));
  } else if (format === "name") {
    await printLines([...new Set(findings.map(({ file }) => file))]);
  } else {
    const fromTop = pathsFromTop();
    const placed = findings.map((finding) => ({ ...finding, file: fromTop(finding.file) }));
    const passed = checked.passed.map(fromTop);
    await printResult(FORMATTERS[format](placed, { ...checked, passed }, strict));
  }
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const failed = strict ? findings.length : errors;
  if (failed > 0) {
    throw new SignetError("check-found", `${count(failed, "finding")} (${checked.what} checked)`);
  }
  if (!isProse && checked.files > 0) return;
  // Never reads as if all were well.
  if (checked.files === 0 && findings.length === 0) say("no file to check");
  else {
    const result = findings.length === 0 ? "no problems found" : count(findings.length, "warning");
    say(`${checked.what} checked: ${result}`);
  }
}

/**
 * What reads a report, such as a forge, knows files by their paths from the top of the repository.
 * People read them from the current folder. What is in no repository stays as it is.
 */
function pathsFromTop(): (path: string) => string {
  const top = workTree();
  if (top === null) return (path) => path;
  const [root, here] = [samePlace(top), samePlace(".")];
  return (path) => {
    const below = slashed(relative(root, resolve(here, path)));
    return below === "" || below.split("/")[0] === ".." ? path : below;
  };
}

function findingLines(
  { file, line, object, severity, message, rule }: Finding,
  isWide: boolean,
): Line[] {
  // As compilers write it, so that terminals and editors open the place.
  const where = line === undefined ? file : `${file}:${line}`;
  const place = [where, object].filter((part) => part !== undefined).join(": ");
  const words = [
    styled(place, "bold"),
    ": ",
    styled(`${severity}:`, severity === "error" ? "red" : "yellow"),
    ` ${message}`,
    styled(` [${rule}]`, "dim"),
  ];
  return isWide ? [words, [styled(`  ${RULES[rule].fix}`, "dim")]] : [words];
}

function factsOf(findings: readonly Finding[], { what, counts }: Checked): object {
  const coded = findings.map((finding) => ({ code: finding.rule, ...finding }));
  return { checked: what, ...counts, findings: coded };
}

type Formatter = (findings: readonly Finding[], checked: Checked, strict: boolean) => string;

/**
 * Formatters of the formats for programs.
 * @internal for its test
 */
export const FORMATTERS: Record<Exclude<FindingFormat, "text" | "wide" | "name">, Formatter> = {
  json: (findings, checked) => shownJson(factsOf(findings, checked)),

  yaml: (findings, checked) => shownYaml(factsOf(findings, checked)),

  // Workflow commands of GitHub Actions.
  github: (findings) =>
    findings
      .map(({ severity, file, line, message, rule, object }) => {
        const properties = { file, ...(line === undefined ? {} : { line }), title: rule };
        const shown = Object.entries(properties).map(
          ([key, value]) => `${key}=${escapeCommand(String(value)).replace(/[:,]/g, percent)}`,
        );
        const text = object === undefined ? message : `${object}: ${message}`;
        return `::${severity} ${shown.join(",")}::${escapeCommand(text)}\n`;
      })
      .join(""),

  // A Code Quality report.
  gitlab: (findings) => {
    const seen = new Map<string, number>();
    return shownJson(
      findings.map(({ rule, severity, file, line = 1, object = "", message }) => {
        // Without the line, which changes. Findings that are equal otherwise are numbered, as
        // GitLab would show one of them only.
        const facts = `${rule}\n${file}\n${object}\n${message}`;
        const before = seen.get(facts) ?? 0;
        seen.set(facts, before + 1);
        return {
          description: object === "" ? message : `${object}: ${message}`,
          check_name: rule,
          fingerprint: createHash("sha256")
            .update(before === 0 ? facts : `${facts}\n${before}`)
            .digest("hex"),
          severity: severity === "error" ? "critical" : "minor",
          location: { path: file, lines: { begin: line } },
        };
      }),
    );
  },

  sarif: (findings, { command }) =>
    shownJson({
      $schema: "https://json.schemastore.org/sarif-2.1.0.json",
      version: "2.1.0",
      runs: [
        {
          tool: {
            driver: {
              name: `signet ${command}`,
              version: VERSION,
              rules: [...new Set(findings.map(({ rule }) => rule))].map((id) => ({ id })),
            },
          },
          results: findings.map(({ rule, severity, file, line = 1, object, message }) => ({
            ruleId: rule,
            level: severity,
            message: { text: object === undefined ? message : `${object}: ${message}` },
            locations: [
              {
                physicalLocation: {
                  artifactLocation: { uri: file.split("/").map(encodeURIComponent).join("/") },
                  region: { startLine: line },
                },
              },
            ],
          })),
        },
      ],
    }),

  junit: (findings, { command, passed }, strict) => {
    const isFailure = ({ severity }: Finding): boolean => strict || severity === "error";
    const cases = [
      ...passed.map(
        (file) => `    <testcase classname="signet ${command}" name="${xml(file)}"/>\n`,
      ),
      ...findings.map((finding) => {
        const { file, object = "", rule, message, line = 1 } = finding;
        const name = xml([file, object].filter(Boolean).join(": "));
        // A finding that does not fail the check is no failed test.
        const body = isFailure(finding)
          ? `<failure type="${xml(rule)}" message="${xml(message)}">${xml(file)}:${line}</failure>`
          : `<system-out>${xml(`${file}:${line}: warning: ${message}`)}</system-out>`;
        return `    <testcase classname="signet ${command}" name="${name}">${body}</testcase>\n`;
      }),
    ];
    const counts = `tests="${cases.length}" failures="${findings.filter(isFailure).length}"`;
    return (
      `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts}>\n` +
      `  <testsuite name="signet ${command}" ${counts}>\n${cases.join("")}  </testsuite>\n</testsuites>\n`
    );
  },
};

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function escapeCommand(text: string): string {
  return shownLine(text.replace(/[%\r\n]/g, percent));
}

function xml(text: string): string {
  const entities: Record<string, string> = {
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
    '"': "&quot;",
    // Two of them begin a command of a forge.
    "#": "&#35;",
  };
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?")
    .replace(/[<>&"]|#(?=#)/g, (character) => entities[character] ?? "");
}
