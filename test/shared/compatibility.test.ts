// Owns: that docs/compatibility.md names tests that exist.
// Does not own: what they show.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const page = readFileSync("docs/compatibility.md", "utf8");
const decisions = readFileSync("docs/decisions.md", "utf8");
const rows = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| |"));
const told = rows
  .map((row) => row.slice(2, -2).split(" | "))
  .filter((cells) => cells.length === 3 && cells[0] !== "the original");

test("every defect has a line", () => {
  expect(told.length).toBeGreaterThan(45);
});

test.each(told)("%s", (_original, _here, shownBy = "") => {
  const [, file, title] = /^`(test\/[a-z/]+\.test\.ts)`: "(.+)"$/.exec(shownBy) ?? [];
  const [, decision] = /^see decisions\.md, "(.+)"$/.exec(shownBy) ?? [];
  if (file !== undefined && title !== undefined) {
    expect(readFileSync(file, "utf8")).toContain(title);
  } else {
    expect(decisions).toContain(`**${decision ?? "neither test nor decision"}`);
  }
});
