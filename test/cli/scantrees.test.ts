// What scan says of whole folders, where names and neighbours of files count: test/fixtures/scan/trees.txt.

import { expect, it, vi } from "vitest";
import type { Finding } from "../../cli/checks/findings.ts";
import { define } from "../../cli/commands/scan.ts";
import { shownStyled } from "../../cli/terminal/line.ts";
import { reportOf, inTree, readFixture, treesOf } from "./trees.ts";

const { printed, said } = vi.hoisted(() => ({ printed: [] as string[], said: [] as string[] }));
vi.mock(import("../../cli/terminal/results.ts"), async (original) => ({
  ...(await original()),
  printResult: (text) => Promise.resolve(void printed.push(text)),
}));
vi.mock(import("../../cli/terminal/messages.ts"), async (original) => ({
  ...(await original()),
  say: (line) => void said.push(shownStyled(line, false)),
}));

/** `PATH RULE ITEMS`, with a mark where it is a warning. */
function shown({ file, rule, severity, message }: Finding): string {
  const items = rule === "unreadable" ? "" : (/ \(([^)]*)\)/.exec(message)?.[1] ?? "");
  const mark = severity === "warning" ? "warning" : "";
  return [file, rule, items.replaceAll(", ", ","), mark].filter(Boolean).join(" ");
}

it.for(treesOf(readFixture("scan/trees.txt")))("scan is right about $title", async (tree) => {
  await inTree(tree, async () => {
    said.length = 0;
    const { findings, checked } = await reportOf(define, tree.args, printed);
    expect(findings.map(shown).sort().join("; ") || "nothing").toBe(tree.want);
    expect([checked, ...said].join("\n")).toContain(tree.said);
  });
});
