// One item of a Secret in the form: its name, and where its value comes from.

import {
  DEFAULT_PASSWORD_LENGTH,
  MAX_PASSWORD_LENGTH,
  MIN_PASSWORD_LENGTH,
} from "../shared/sealing/randompassword.ts";
import { isItemName } from "../shared/kubernetes/secret.ts";
import { FieldError } from "./announce.ts";
import { copyOf, emptied, within } from "./elements.ts";
import type { ValueSource } from "./itemvalues.ts";

export type ItemAction = "keep" | "set" | "rename" | "unset";

/** The maximum size of a Secret. */
const MAX_FILE_BYTES = 1024 * 1024;

export class ItemRow {
  readonly root = copyOf("item-template", HTMLFieldSetElement);
  /** The item's name in the sealed file; null for a new item. */
  readonly existing: string | null;

  /** `onRemove`: called when a person removes a new item. */
  constructor(existing: string | null, { onRemove }: { readonly onRemove: () => void }) {
    this.existing = existing;
    if (existing !== null) this.#legend.textContent = existing;
    within(this.root, "item-remove", HTMLButtonElement).addEventListener("click", onRemove);
    within(this.root, "item-reveal", HTMLButtonElement).addEventListener("click", () => {
      this.#reveal(!this.#isRevealed);
    });
    this.root.addEventListener("change", () => {
      this.#takeNameOfFile();
      this.#arrange();
    });
    within(this.root, "item-length", HTMLInputElement).value = String(DEFAULT_PASSWORD_LENGTH);
    this.#arrange();
  }

  get action(): ItemAction {
    if (this.existing === null) return "set";
    return within(this.root, "item-action", HTMLSelectElement).value as ItemAction;
  }

  get isGenerated(): boolean {
    return this.action === "set" && this.#source === "generated";
  }

  get nameField(): HTMLInputElement {
    return within(this.root, "item-name", HTMLInputElement);
  }

  /** Sets the item's number in its legend. */
  set position(position: number) {
    if (this.existing === null) this.#legend.textContent = `Item ${position}`;
  }

  /** The new name of the item. @throws FieldError if it is invalid */
  readName(): string {
    if (this.existing !== null && this.action !== "rename") return this.existing;
    const field = this.nameField;
    const name = field.value.trim();
    if (name === "") throw new FieldError("This item needs a name.", field);
    if (isItemName(name)) return name;
    throw new FieldError("Use only letters, digits, '-', '_' and '.' in a name.", field);
  }

  /** @throws FieldError if there is no value */
  async readValue(): Promise<ValueSource> {
    switch (this.#source) {
      case "text": {
        const field = within(this.root, "item-text", HTMLTextAreaElement);
        if (field.value === "") throw new FieldError("This item needs a value.", field);
        return { from: "text", text: field.value };
      }
      case "file": {
        const field = within(this.root, "item-file", HTMLInputElement);
        const file = field.files?.[0];
        if (file === undefined) throw new FieldError("Choose the file with the value.", field);
        if (file.size > MAX_FILE_BYTES) {
          throw new FieldError("This file is larger than 1 MiB, which no cluster accepts.", field);
        }
        return { from: "file", bytes: await bytesOf(file, field) };
      }
      default: {
        const field = within(this.root, "item-length", HTMLInputElement);
        const length = Number(field.value);
        const isValid =
          Number.isInteger(length) &&
          length >= MIN_PASSWORD_LENGTH &&
          length <= MAX_PASSWORD_LENGTH;
        if (!isValid) throw new FieldError("The length must be a number from 8 to 1024.", field);
        return { from: "generated", length };
      }
    }
  }

  /** Removes the value from the page. */
  forget(): void {
    emptied(within(this.root, "item-text", HTMLTextAreaElement));
    emptied(within(this.root, "item-file", HTMLInputElement));
    this.#reveal(false);
  }

  get #legend(): HTMLLegendElement {
    const legend = this.root.querySelector("legend");
    if (legend === null) throw new Error("an item has no legend");
    return legend;
  }

  get #source(): string {
    return within(this.root, "item-source", HTMLSelectElement).value;
  }

  get #isRevealed(): boolean {
    return !within(this.root, "item-text", HTMLTextAreaElement).classList.contains("masked");
  }

  #reveal(isRevealed: boolean): void {
    within(this.root, "item-text", HTMLTextAreaElement).classList.toggle("masked", !isRevealed);
    const button = within(this.root, "item-reveal", HTMLButtonElement);
    button.setAttribute("aria-pressed", String(isRevealed));
  }

  /** Shows the fields that the choices require. */
  #arrange(): void {
    const { action, existing } = this;
    const show = (name: string, isShown: boolean): void => {
      within(this.root, name, HTMLElement).hidden = !isShown;
    };
    const isSet = action === "set";
    show("item-action-field", existing !== null);
    show("item-name-field", existing === null || action === "rename");
    show("item-source-field", isSet);
    for (const part of ["item-text-field", "item-reveal"]) {
      show(part, isSet && this.#source === "text");
    }
    show("item-file-field", isSet && this.#source === "file");
    show("item-length-field", isSet && this.#source === "generated");
    show("item-remove", existing === null);
  }

  #takeNameOfFile(): void {
    const file = within(this.root, "item-file", HTMLInputElement).files?.[0];
    if (file === undefined || this.nameField.value !== "" || !isItemName(file.name)) return;
    this.nameField.value = file.name;
  }
}

async function bytesOf(file: File, field: HTMLElement): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new FieldError("This file can no longer be read: choose it again.", field);
  }
}
