// Tells a person what happened or what is wrong, also one who listens to the page.

import { formatPlace, SignetError } from "../shared/errors.ts";
import { byId } from "./elements.ts";

/** Something is wrong with what a field holds. */
export class FieldError extends Error {
  readonly field: HTMLElement;

  constructor(message: string, field: HTMLElement) {
    super(message);
    this.field = field;
  }
}

const FIELD_ERROR = "field-error";

export function announce(text: string): void {
  byId("status", HTMLElement).textContent = text;
}

/** An error in words. Neither ours nor the browser's quote a value. */
export function wordsOf(error: unknown): string {
  if (error instanceof FieldError) return error.message;
  if (error instanceof SignetError) {
    const place = formatPlace(error.place);
    return place === "" ? error.message : `${place}: ${error.message}`;
  }
  return "something went wrong in this page: reload it and try again";
}

/** Shows why something was not done, and leads there. */
export function showError(error: unknown): void {
  clearMessages();
  const box = byId("errors", HTMLElement);
  box.textContent = wordsOf(error);
  if (!(error instanceof FieldError)) {
    box.focus();
    return;
  }
  const { field } = error;
  // The same at the field: on a phone, the box is far below.
  const note = document.createElement("p");
  note.id = FIELD_ERROR;
  note.className = "error";
  note.textContent = error.message;
  const label = field.closest(".field");
  if (label === null) field.closest(".card")?.append(note);
  else label.after(note);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", note.id);
  field.focus();
}

export function clearMessages(): void {
  document.getElementById(FIELD_ERROR)?.remove();
  byId("errors", HTMLElement).textContent = "";
  announce("");
  for (const field of document.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}
