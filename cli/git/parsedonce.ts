// The documents of the text that was parsed last: several checks look at one text in turn.

import { type ManifestDocument, parseManifests } from "../../shared/manifest/manifest.ts";

let last: { readonly text: string; readonly documents: readonly ManifestDocument[] } | undefined;

/**
 * Parses a text as `parseManifests` does, or returns the documents that this made of the same text
 * just before. Nobody may change them.
 * @throws SignetError as `parseManifests`, without the name of a file
 */
export function parsedOnce(text: string): readonly ManifestDocument[] {
  if (last?.text !== text) last = { text, documents: parseManifests(text) };
  return last.documents;
}
