// The library's form of manifests: values, and what is surprising about them.
// SPEC.md, "Manifests".

import type { ErrorPlace } from "../shared/errors.ts";
import { type Json, parseManifests as parse, type Surprise } from "../shared/manifest/manifest.ts";

/** One document of a stream. */
export interface Manifest {
  /** The value as Kubernetes reads it. An integer beyond 2^53 is rounded, which is a surprise. */
  readonly value: Json;
  readonly format: "yaml" | "json";
  /** Number of the document, from 1. Empty documents do not count. */
  readonly document: number;
  /** Line of its first key or bracket in the text, from 1. */
  readonly line: number;
  /** Scalars that Kubernetes reads differently than they look: `yes`, `0777`, `1.50`. */
  readonly surprises: readonly Surprise[];
}

/**
 * Parses every document in a YAML or JSON stream as Kubernetes does. `place`: the file, for errors.
 * @throws SignetError manifest-syntax or manifest-ambiguous
 */
export function parseManifests(text: string, place: ErrorPlace = {}): Manifest[] {
  return parse(text, place).map(({ value, format, document, line, surprises }) => {
    return { value, format, document, line, surprises };
  });
}
