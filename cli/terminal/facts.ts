// A result in the form that a person or a program asked for.
// SPEC.md, "Command line".

import { formatManifests, type Json } from "../../shared/manifest/manifest.ts";
import { printJson, printLines, printPages, printResult } from "./results.ts";
import type { Line } from "./line.ts";
import { shownJson, shownLine } from "./shown.ts";

/** `text` unless a person says otherwise. */
export const FACT_FORMATS = ["text", "wide", "name", "json", "yaml"] as const;
export type FactFormat = (typeof FACT_FORMATS)[number];

interface FactForms {
  /** For JSON and YAML. */
  readonly value: unknown;
  readonly lines: () => readonly Line[];
  /** With every column, whatever the width of the terminal. */
  readonly wide: () => readonly Line[];
  /** One for each result, such as other commands take as an argument. */
  readonly names: () => readonly string[];
}

/** @throws SignetError io */
export function printFacts(format: FactFormat, facts: FactForms): Promise<void> {
  if (format === "json") return printJson(facts.value);
  if (format === "yaml") return printResult(shownYaml(facts.value));
  if (format === "name") return printLines([...new Set(facts.names())]);
  return printPages(format === "wide" ? facts.wide() : facts.lines());
}

/**
 * YAML for people and programs. A value with characters on which a terminal or a forge would act is
 * printed as JSON, which is YAML too and has escapes for them.
 */
export function shownYaml(value: unknown): string {
  const json = shownJson(value);
  const text = formatManifests([JSON.parse(json) as Json], "yaml").replace(/^---\n/, "");
  const isPlain = text.split("\n").every((line) => shownLine(line) === line);
  return isPlain ? text : json;
}
