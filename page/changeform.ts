// The form in which items of sealed files are added, replaced, renamed and removed.

import { SignetError } from "../shared/errors.ts";
import { scopeOf } from "../shared/sealing/scope.ts";
import type { ItemChanges } from "../shared/sealing/seal.ts";
import { announce, clearMessages, FieldError, showError } from "./announce.ts";
import type { KnownCluster } from "./certificates.ts";
import type { ClusterList } from "./clusterlist.ts";
import { byId, copyOf, within } from "./elements.ts";
import { ItemList } from "./itemlist.ts";
import { valuesOf, wipe } from "./itemvalues.ts";
import type { SealedResult } from "./sealedresult.ts";
import { changedText, clusterOf, type SealedPlace, sealedSecretsIn } from "./sealedtext.ts";

const MAX_FILES = 50;
/** The maximum size of a file, in characters. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

interface Target {
  readonly place: SealedPlace;
  readonly card: HTMLLIElement;
}

export class ChangeForm {
  readonly root = byId("change-form", HTMLFormElement);
  readonly items: ItemList;
  readonly #clusters: ClusterList;
  /** Texts by file name, with the changes made so far. */
  #files = new Map<string, string>();
  #places: SealedPlace[] = [];
  #targets: Target[] = [];

  constructor(clusters: ClusterList) {
    this.#clusters = clusters;
    this.items = new ItemList(
      byId("change-items", HTMLElement),
      byId("change-new-item", HTMLElement),
      () => undefined,
    );
    const chooser = byId("sealed-files", HTMLInputElement);
    chooser.addEventListener("change", () => {
      void this.open([...(chooser.files ?? [])]);
    });
    byId("read-text", HTMLButtonElement).addEventListener("click", () => {
      const { value } = byId("sealed-text", HTMLTextAreaElement);
      this.#show([["pasted.yaml", value]]);
    });
    byId("object", HTMLSelectElement).addEventListener("change", () => {
      this.#choose();
    });
  }

  /** Shows the SealedSecrets of these files, instead of the previous ones. */
  async open(files: readonly File[]): Promise<void> {
    try {
      if (files.length > MAX_FILES) {
        throw new SignetError("usage", `more than ${MAX_FILES} files were chosen`);
      }
      const large = files.find(({ size }) => size > MAX_FILE_BYTES);
      if (large !== undefined) {
        throw new SignetError("manifest-syntax", "the file is too large", {
          place: { file: large.name },
        });
      }
      const texts = await Promise.all(files.map(textOf));
      this.#show(files.map(({ name }, index) => [name, texts[index] ?? ""] as const));
    } catch (error) {
      showError(error);
    }
  }

  /** Updates each file's choice of clusters to those that the page knows now. */
  arrange(): void {
    for (const { place, card } of this.#targets) {
      const select = within(card, "target-cluster", HTMLSelectElement);
      const owner = clusterOf(place, this.#clusters.known);
      const [only, ...others] = this.#clusters.known;
      const guess = owner ?? (others.length === 0 ? only : undefined);
      const before = select.value === "" ? guess?.name : select.value;
      const names = this.#clusters.known.map(({ name }) => name);
      select.replaceChildren(
        new Option("choose one", ""),
        ...names.map((name) => new Option(name)),
      );
      select.value = names.find((name) => name === before) ?? "";
    }
  }

  /** @throws FieldError, SignetError */
  async change(algorithm: string | undefined): Promise<SealedResult[]> {
    if (this.#targets.length === 0) {
      const field = byId("sealed-files", HTMLInputElement);
      throw new FieldError("Choose the file to change.", field);
    }
    const { unset, rename } = this.#readNames();
    const items = await this.items.readValues();
    const results: SealedResult[] = [];
    for (const { place, card } of this.#targets) {
      const set = valuesOf(items);
      try {
        const cluster = set.size === 0 ? null : this.#clusterFor(place, card);
        const changes: ItemChanges = { set, unset, rename };
        results.push(await changedText(place, changes, cluster, new Date(), algorithm));
      } finally {
        wipe(set.values());
      }
    }
    const named = results.map((result, index) => ({
      ...result,
      cluster: this.#cluster(this.#targets[index])?.name ?? "",
    }));
    this.#goOnFrom(results);
    return named;
  }

  /** Uses the changed files for the next change. */
  #goOnFrom(results: readonly SealedResult[]): void {
    for (const { fileName, text } of results) this.#files.set(fileName, text);
    const clusters = this.#targets.map((target) => this.#cluster(target));
    this.#places = placesOf(this.#files);
    this.#choose();
    for (const [index, { card }] of this.#targets.entries()) {
      within(card, "target-cluster", HTMLSelectElement).value = clusters[index]?.name ?? "";
    }
  }

  #readNames(): { readonly unset: string[]; readonly rename: Map<string, string> } {
    const unset: string[] = [];
    const rename = new Map<string, string>();
    for (const row of this.items.rows) {
      if (row.existing === null) continue;
      if (row.action === "unset") unset.push(row.existing);
      if (row.action !== "rename") continue;
      const name = row.readName();
      if (name === row.existing) throw new FieldError("This is already its name.", row.nameField);
      rename.set(row.existing, name);
    }
    return { unset, rename };
  }

  #cluster(target: Target | undefined): KnownCluster | null {
    if (target === undefined) return null;
    const { value } = within(target.card, "target-cluster", HTMLSelectElement);
    return this.#clusters.known.find(({ name }) => name === value) ?? null;
  }

  /** The cluster to seal for. @throws FieldError if none, or a wrong one, is chosen */
  #clusterFor(place: SealedPlace, card: HTMLLIElement): KnownCluster {
    const field = within(card, "target-cluster", HTMLSelectElement);
    const cluster = this.#cluster({ place, card });
    if (cluster === null) {
      throw new FieldError(`Choose the cluster that ${place.file} is for.`, field);
    }
    const owner = clusterOf(place, this.#clusters.known);
    if (owner === null || owner === cluster) return cluster;
    const reason = `${place.file} is sealed for ${owner.name}, not for ${cluster.name}.`;
    throw new FieldError(reason, field);
  }

  #show(files: readonly (readonly [string, string])[]): void {
    clearMessages();
    this.#files = new Map();
    for (const [name, text] of files) this.#files.set(freeName(name, this.#files), text);
    try {
      this.#places = placesOf(this.#files);
    } catch (error) {
      this.#places = [];
      showError(error);
    }
    const names = [...new Set(this.#places.map(({ name }) => name))];
    const select = byId("object", HTMLSelectElement);
    select.replaceChildren(...names.map((name) => new Option(name)));
    byId("object-field", HTMLElement).hidden = names.length < 2;
    this.#choose();
    if (this.#places.length === 0) return;
    byId("change-items-heading", HTMLElement).focus();
    announce(`Read ${names.length === 1 ? (names[0] ?? "") : `${names.length} SealedSecrets`}.`);
  }

  /** Shows the SealedSecrets of the chosen name, one for each file. */
  #choose(): void {
    const chosen = byId("object", HTMLSelectElement).value;
    const places = this.#places.filter(({ name }) => name === chosen);
    this.#targets = places.map((place) => ({ place, card: cardOf(place) }));
    byId("targets", HTMLElement).replaceChildren(...this.#targets.map(({ card }) => card));
    const items = new Set(places.flatMap(({ sealed }) => [...sealed.encryptedData.keys()]));
    this.items.replace([...items]);
    byId("change-items-section", HTMLElement).hidden = places.length === 0;
    this.arrange();
  }
}

/** @throws SignetError also if a file has two SealedSecrets of one name */
function placesOf(files: ReadonlyMap<string, string>): SealedPlace[] {
  return [...files].flatMap(([file, text]) => {
    const places = sealedSecretsIn(file, text);
    const names = new Set(places.map(({ name }) => name));
    if (names.size === places.length) return places;
    throw new SignetError("wrong-kind", "contains two SealedSecrets with the same name", {
      place: { file },
    });
  });
}

/** Files of several folders may have the same name. */
function freeName(name: string, taken: ReadonlyMap<string, string>): string {
  const [, stem = name, ending = ""] = /^(.*?)(\.[^.]*)?$/.exec(name) ?? [];
  let free = name;
  for (let number = 2; taken.has(free); number++) free = `${stem}-${number}${ending}`;
  return free;
}

function cardOf({ file, name, sealed }: SealedPlace): HTMLLIElement {
  const card = copyOf("target-template", HTMLLIElement);
  within(card, "target-file", HTMLElement).textContent = file;
  const count = sealed.encryptedData.size;
  const items = count === 1 ? "1 item" : `${count} items`;
  const facts = [name, scopeOf(sealed.metadata.annotations), items];
  within(card, "target-facts", HTMLElement).textContent = facts.join(", ");
  return card;
}

async function textOf(file: File): Promise<string> {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SignetError("manifest-syntax", "not UTF-8 text", { place: { file: file.name } });
  }
}
