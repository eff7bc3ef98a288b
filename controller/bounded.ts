// Limits the length of reported texts, which may contain what strangers wrote, such as a type or a
// label.
// SPEC.md, "Status".

/** Without a limit, a status could make its object too large, and would be refused each time. */
const MAX_TEXT = 2048;

/** Cuts a text for a status, an Event or a log line. `max`: in characters. */
export function bounded(text: string, max = MAX_TEXT): string {
  // Not in the middle of a pair of surrogates.
  return text.length > max ? `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, "")}…` : text;
}
