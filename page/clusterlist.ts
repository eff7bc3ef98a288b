// The clusters that the page knows, as a person sees and chooses them.

import { SignetError } from "../shared/errors.ts";
import type { PageCluster } from "../shared/sealingpage.ts";
import { announce, wordsOf } from "./announce.ts";
import { factsOf, type KnownCluster, readCluster } from "./certificates.ts";
import { byId, copyOf, within } from "./elements.ts";

/** Larger than any real certificate file. */
const MAX_FILE_BYTES = 2 * 1024 * 1024;

interface Shown {
  readonly cluster: KnownCluster;
  readonly card: HTMLLIElement;
}

export class ClusterList {
  readonly #onChange: () => void;
  #shown: Shown[] = [];
  #areChosen = true;

  /** `onChange`: called when clusters are added or chosen. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
    byId("clusters", HTMLElement).addEventListener("change", onChange);
    byId("certificate-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#addByHand();
    });
  }

  get known(): readonly KnownCluster[] {
    return this.#shown.map(({ cluster }) => cluster);
  }

  get chosen(): readonly KnownCluster[] {
    return this.#shown.filter(({ card }) => choiceOf(card).checked).map(({ cluster }) => cluster);
  }

  /** Adds the clusters of the page's settings. Returns errors about invalid ones. */
  async load(clusters: readonly PageCluster[]): Promise<string[]> {
    const troubles: string[] = [];
    for (const cluster of clusters) {
      try {
        this.#add(await readCluster(cluster), clusters.length === 1);
      } catch (error) {
        troubles.push(`${cluster.name}: ${wordsOf(error)}`);
      }
    }
    const isEmpty = this.#shown.length === 0;
    byId("more-certificates", HTMLDetailsElement).open = isEmpty;
    return troubles;
  }

  /** Whether a person chooses clusters here; otherwise, only their facts are shown. */
  set areChosen(areChosen: boolean) {
    this.#areChosen = areChosen;
    byId("clusters-help", HTMLElement).hidden = !areChosen;
    for (const { card } of this.#shown) this.#arrange(card);
  }

  #add(cluster: KnownCluster, isChosen: boolean): void {
    const card = cardOf(cluster);
    const { state } = factsOf(cluster.certificate, new Date());
    choiceOf(card).checked = isChosen && state !== "expired";
    choiceOf(card).disabled = state === "expired";
    const before = this.#shown.find((each) => each.cluster.name === cluster.name);
    if (before === undefined) byId("clusters", HTMLElement).append(card);
    else before.card.replaceWith(card);
    this.#shown = [...this.#shown.filter((each) => each !== before), { cluster, card }];
    this.#arrange(card);
    this.#onChange();
  }

  #arrange(card: HTMLLIElement): void {
    within(card, "choice", HTMLElement).hidden = !this.#areChosen;
    within(card, "cluster-title", HTMLElement).hidden = this.#areChosen;
  }

  async #addByHand(): Promise<void> {
    const error = byId("certificate-error", HTMLElement);
    const name = byId("certificate-name", HTMLInputElement);
    const text = byId("certificate-text", HTMLTextAreaElement);
    const file = byId("certificate-file", HTMLInputElement);
    error.textContent = "";
    try {
      const chosen = file.files?.[0];
      if (chosen !== undefined && chosen.size > MAX_FILE_BYTES) {
        throw new SignetError("certificate-invalid", "this file is too large for a certificate");
      }
      const certificates = chosen === undefined ? text.value : await chosen.text();
      const title = name.value.trim() || `cluster ${this.#shown.length + 1}`;
      const cluster = await readCluster({ name: title, certificates });
      this.#add(cluster, true);
      for (const field of [name, text, file]) field.value = "";
      byId("more-certificates", HTMLDetailsElement).open = false;
      announce(`${title} added, with the key ${cluster.certificate.fingerprint}.`);
    } catch (failed) {
      error.textContent = wordsOf(failed);
    }
  }
}

const choiceOf = (card: HTMLLIElement): HTMLInputElement =>
  within(card, "cluster-chosen", HTMLInputElement);

function cardOf({ name, certificate }: KnownCluster): HTMLLIElement {
  const card = copyOf("cluster-template", HTMLLIElement);
  const { state, validity, age, algorithm } = factsOf(certificate, new Date());
  const write = (place: string, text: string): HTMLElement => {
    const element = within(card, place, HTMLElement);
    element.textContent = text;
    return element;
  };
  write("cluster-name", name);
  write("cluster-title", name);
  write("cluster-fingerprint", certificate.fingerprint);
  write("cluster-validity", validity).dataset["state"] = state;
  write("cluster-key", `${algorithm}, ${age}`);
  return card;
}
