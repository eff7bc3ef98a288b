// What scan says of files as repositories have them.

import { expect, it } from "vitest";
import { findPlaintext } from "../../cli/checks/plaintext.ts";
import { scanCases } from "./scancases.ts";

it.for(scanCases())("scan gives the right answer for $title", ({ title, want, text }) => {
  const isChartTemplate = title.startsWith("chart:");
  const found = findPlaintext(text, { isChartTemplate }).map(({ rule, items }) =>
    `${rule} ${items.join(",")}`.trim(),
  );
  expect(found.join("; ") || "nothing").toBe(want);
});
