// The items of a form: those that a sealed file has, then new ones.

import { FieldError } from "./announce.ts";
import { ItemRow } from "./itemrow.ts";
import type { ValueSource } from "./itemvalues.ts";

export class ItemList {
  readonly #root: HTMLElement;
  readonly #onChange: () => void;
  #rows: ItemRow[] = [];

  /** `onChange`: called when items are added, are removed or change their kind. */
  constructor(root: HTMLElement, add: HTMLElement, onChange: () => void) {
    this.#root = root;
    this.#onChange = onChange;
    add.addEventListener("click", () => {
      this.add().nameField.focus();
    });
    root.addEventListener("change", onChange);
  }

  get rows(): readonly ItemRow[] {
    return this.#rows;
  }

  /** Adds a new item, with a name if given. */
  add(name = ""): ItemRow {
    const row = new ItemRow(null, {
      onRemove: () => {
        this.#remove(row);
      },
    });
    row.nameField.value = name;
    this.#append(row);
    return row;
  }

  /** Shows the items of a sealed file instead. */
  replace(names: readonly string[]): void {
    this.#rows = [];
    this.#root.replaceChildren();
    for (const name of names) this.#append(new ItemRow(name, { onRemove: () => undefined }));
  }

  /** Shows new items with these names, if no name was typed yet. */
  suggest(names: readonly string[]): void {
    if (this.#rows.some(({ nameField }) => nameField.value !== "")) return;
    this.replace([]);
    for (const name of names) this.add(name);
  }

  /** Values to seal, by item name. @throws FieldError */
  async readValues(): Promise<(readonly [string, ValueSource])[]> {
    const taken = new Set(
      this.#rows.filter(({ action }) => action !== "set").map(({ existing }) => existing ?? ""),
    );
    const values: (readonly [string, ValueSource])[] = [];
    for (const row of this.#rows.filter(({ action }) => action === "set")) {
      const name = row.readName();
      if (taken.has(name)) {
        throw new FieldError(`There is already an item named ${name}.`, row.nameField);
      }
      taken.add(name);
      values.push([name, await row.readValue()]);
    }
    return values;
  }

  forget(): void {
    for (const row of this.#rows) row.forget();
  }

  #append(row: ItemRow): void {
    this.#rows.push(row);
    this.#root.append(row.root);
    this.#number();
  }

  #remove(row: ItemRow): void {
    const at = this.#rows.indexOf(row);
    row.forget();
    this.#rows = this.#rows.filter((each) => each !== row);
    row.root.remove();
    this.#number();
    // The element with the focus was removed.
    const next = this.#rows[Math.min(at, this.#rows.length - 1)];
    next?.root.querySelector<HTMLElement>("input:not([hidden]), select:not([hidden])")?.focus();
  }

  #number(): void {
    let position = 0;
    for (const row of this.#rows) if (row.existing === null) row.position = ++position;
    this.#onChange();
  }
}
