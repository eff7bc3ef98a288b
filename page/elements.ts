// Finds the elements that index.html has, with their types.

/** @throws Error if the page has no such element, which would be a bug */
export function byId<T extends Element>(id: string, type: new () => T): T {
  return checked(document.getElementById(id), id, type);
}

/** The first element with a class inside another one. @throws Error if there is none */
export function within<T extends Element>(root: Element, name: string, type: new () => T): T {
  return checked(root.querySelector(`.${name}`), name, type);
}

function checked<T extends Element>(found: Element | null, name: string, type: new () => T): T {
  if (found instanceof type) return found;
  throw new Error(`the page has no ${name}`);
}

/** A copy of the only element in a template. */
export function copyOf<T extends Element>(template: string, type: new () => T): T {
  const { content } = byId(template, HTMLTemplateElement);
  const copy = content.firstElementChild?.cloneNode(true) as Element | undefined;
  return checked(copy ?? null, template, type);
}

/** Empties a field that held a value, so that "undo" cannot restore it. */
export function emptied(field: HTMLInputElement | HTMLTextAreaElement): void {
  field.value = "";
  field.replaceWith(field.cloneNode(true));
}
