// Shows what was sealed, to copy or to download.

import { announce } from "./announce.ts";
import { byId, copyOf, within } from "./elements.ts";
import type { SealedResult } from "./sealedresult.ts";

export function showResults(results: readonly SealedResult[]): void {
  byId("results", HTMLElement).replaceChildren(...results.map(resultOf));
  byId("results-section", HTMLElement).hidden = results.length === 0;
  if (results.length > 0) byId("results-heading", HTMLElement).focus();
}

function resultOf(result: SealedResult): HTMLElement {
  const { cluster, fileName, path, fingerprint, text, summary } = result;
  const article = copyOf("result-template", HTMLElement);
  const title = [cluster, path ?? fileName].filter((part) => part !== "").join(": ");
  const heading = article.querySelector("h3");
  if (heading !== null) heading.textContent = title;
  within(article, "result-facts", HTMLElement).textContent =
    fingerprint === undefined ? summary : `${summary}, with the key ${fingerprint}`;
  const shown = within(article, "result-text", HTMLTextAreaElement);
  shown.value = text;
  shown.setAttribute("aria-label", `Manifest ${title}`);
  const copy = within(article, "result-copy", HTMLButtonElement);
  copy.setAttribute("aria-label", `Copy ${title}`);
  copy.addEventListener("click", () => {
    navigator.clipboard.writeText(text).then(
      () => {
        announce(`Copied ${title}.`);
      },
      () => {
        shown.select();
        announce("Press Ctrl-C or Cmd-C to copy the selected text.");
      },
    );
  });
  const download = within(article, "result-download", HTMLButtonElement);
  download.setAttribute("aria-label", `Download ${title}`);
  download.addEventListener("click", () => {
    save(fileName, text);
    announce(`Downloaded as ${fileName}.`);
  });
  return article;
}

function save(fileName: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  link.download = fileName;
  link.click();
  // The browser reads it a moment later.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 60_000);
}
