// Announces what happened or what is wrong, also to screen readers.

import { formatPlace, SignetError } from "../shared/errors.ts";
import { byId } from "./elements.ts";

/** A field has an invalid value. */
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

/** The text of an error. Neither our errors nor the browser's quote a value. */
export function wordsOf(error: unknown): string {
  if (error instanceof FieldError) return error.message;
  if (error instanceof SignetError) {
    const place = formatPlace(error.place);
    return place === "" ? error.message : `${place}: ${error.message}`;
  }
  return "something went wrong in this page: reload it and try again";
}

/** Shows why something failed, and moves the focus there. */
export function showError(error: unknown): void {
  clearMessages();
  const box = byId("errors", HTMLElement);
  box.textContent = wordsOf(error);
  if (!(error instanceof FieldError)) {
    box.focus();
    return;
  }
  const { field } = error;
  // Also at the field: on a phone, the error box is far below.
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
