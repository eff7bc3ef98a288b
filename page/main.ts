// The page: connects its parts.

import { announce, clearMessages, showError } from "./announce.ts";
import { ChangeForm } from "./changeform.ts";
import { ClusterList } from "./clusterlist.ts";
import { byId } from "./elements.ts";
import { whenUnused } from "./idle.ts";
import { NewForm } from "./newform.ts";
import { showResults } from "./resultlist.ts";
import type { SealedResult } from "./sealedresult.ts";
import { readSettings } from "./settings.ts";

const settings = readSettings(byId("settings", HTMLElement).textContent);
const clusters: ClusterList = new ClusterList(() => {
  newForm.arrange();
  changeForm.arrange();
});
const newForm = new NewForm(clusters, settings);
const changeForm = new ChangeForm(clusters);

function forget(): void {
  newForm.items.forget();
  changeForm.items.forget();
}

function showMode(mode: string): void {
  const isNew = mode === "new";
  newForm.root.hidden = !isNew;
  changeForm.root.hidden = isNew;
  clusters.areChosen = isNew;
  clearMessages();
}

function choose(mode: "new" | "change"): void {
  for (const radio of document.querySelectorAll<HTMLInputElement>('[name="mode"]')) {
    radio.checked = radio.value === mode;
  }
  showMode(mode);
}

/** Handles a form in the page, without sending it anywhere. */
function onSubmit(form: HTMLFormElement, work: () => Promise<SealedResult[]>): void {
  let isBusy = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    clearMessages();
    showResults([]);
    work()
      .then((results) => {
        forget();
        showResults(results);
        const files = results.length === 1 ? "1 file" : `${results.length} files`;
        announce(`Done: ${files}. The values were cleared.`);
      }, showError)
      .finally(() => {
        isBusy = false;
      });
  });
}

const algorithm = (): string | undefined => byId("algorithm", HTMLSelectElement).value || undefined;

onSubmit(newForm.root, () => newForm.seal(algorithm()));
onSubmit(changeForm.root, () => changeForm.change(algorithm()));

byId("mode", HTMLElement).addEventListener("change", (event) => {
  if (event.target instanceof HTMLInputElement) showMode(event.target.value);
});
for (const button of document.querySelectorAll(".forget")) {
  button.addEventListener("click", () => {
    forget();
    announce("All values were cleared.");
  });
}
whenUnused((isHere) => {
  forget();
  if (isHere) announce("All values were cleared, because the page was not used for ten minutes.");
});

const drop = byId("drop", HTMLElement);
// A file dropped elsewhere would be opened instead of the page.
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
window.addEventListener("dragleave", () => {
  drop.classList.remove("over");
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length === 0) return;
  choose("change");
  void changeForm.open(files);
});

function showTrouble(text: string): void {
  const box = byId("trouble", HTMLElement);
  box.textContent = text;
  box.hidden = false;
}

choose("new");
if (isSecureContext) {
  void clusters.load(settings.clusters).then((troubles) => {
    if (troubles.length > 0) showTrouble(troubles.join("; "));
  });
} else {
  showTrouble(
    "This page was loaded over plain HTTP, where browsers do not allow encryption. Open it over HTTPS, from localhost, or as a file.",
  );
}
