// That the tests exist that docs/compatibility.md, SECURITY.md, SPEC.md and the guides name.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const page = readFileSync("docs/compatibility.md", "utf8");
const decisionFiles = readdirSync("docs/decisions").map((name) => `docs/decisions/${name}`);
const decisions = decisionFiles.map((path) => readFileSync(path, "utf8")).join("\n");
const rows = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| |"));
const told = rows
  .map((row) => row.slice(2, -2).split(" | "))
  .filter((cells) => cells.length === 3 && cells[0] !== "the original");

test("every defect has a line", () => {
  expect(told.length).toBeGreaterThan(45);
});

test.each(told)("%s", (_original, _here, shownBy = "") => {
  const [, file, title] = /^`(test\/[a-z/]+\.test\.ts)`: "(.+)"$/.exec(shownBy) ?? [];
  const [, decision] = /^see docs\/decisions, "(.+)"$/.exec(shownBy) ?? [];
  if (file !== undefined && title !== undefined) {
    expect(readFileSync(file, "utf8")).toContain(title);
  } else {
    expect(decisions).toContain(`**${decision ?? "neither test nor decision"}`);
  }
});

/** `file`: "a part of a title in it"; a file may be a pattern, and the title left out. */
const NAMED = /`(test\/[\w./*-]+\.(?:ts|txt))`(?::\s+"([^"]+)")?/g;
const documents = [
  ...["SECURITY.md", "SPEC.md", "README.md", "CONTRIBUTING.md", "RELEASE.md", "VERSIONING.md"],
  ...decisionFiles,
  ...readdirSync("docs").flatMap((name) => (name.endsWith(".md") ? [`docs/${name}`] : [])),
];

function filesLike(pattern: string): string[] {
  const folder = dirname(pattern);
  const like = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
  try {
    return readdirSync(folder)
      .map((name) => join(folder, name))
      .filter((path) => like.test(path));
  } catch {
    return [];
  }
}

test("the threat model shows each guarantee by a test", () => {
  const security = readFileSync("SECURITY.md", "utf8");
  const guarantees = security.split("## Guarantees")[1]?.split("\n## ")[0] ?? "";
  const lines = guarantees.split("\n").filter((line) => /^\| [A-Z]/.test(line));
  expect(lines.length).toBeGreaterThan(25);
  expect(lines.filter((line) => line.search(NAMED) < 0)).toEqual([]);
});

test.each(documents)("%s names tests that exist", (document) => {
  for (const [, file = "", title = ""] of readFileSync(document, "utf8").matchAll(NAMED)) {
    const texts = filesLike(file).map((path) => readFileSync(path, "utf8"));
    const words = title.replaceAll(/\s+/g, " ");
    expect(
      texts.some((text) => text.includes(words)),
      `${file}: "${words}"`,
    ).toBe(true);
  }
});
