// The documents of a text, where it can be read.

import { SignetError } from "../../shared/errors.ts";
import type { ManifestDocument } from "../../shared/manifest/manifest.ts";
import { parsedOnce } from "../git/parsedonce.ts";

export type Parsed =
  | { readonly documents: readonly ManifestDocument[]; readonly error?: undefined }
  | { readonly documents: null; readonly error: SignetError };

/** The documents of a text that can be read. */
export function documentsIn(text: string): readonly ManifestDocument[] {
  return (
    parsed(text).documents ??
    text.split(/^(?=---)/m).flatMap((chunk) => parsed(chunk).documents ?? [])
  );
}

/** No documents where Kubernetes could not read it. */
export function parsed(text: string): Parsed {
  try {
    return { documents: parsedOnce(text) };
  } catch (error) {
    if (error instanceof SignetError) return { documents: null, error };
    throw error;
  }
}
