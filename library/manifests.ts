// Manifests as the library's users see them: values and what is surprising about them.

import type { ErrorPlace } from "../shared/errors.ts";
import { type Json, parseManifests as parse, type Surprise } from "../shared/manifest/manifest.ts";

/** One document of a stream. */
export interface Manifest {
  /** As Kubernetes reads it; an integer beyond 2^53 is rounded and is a surprise. */
  readonly value: Json;
  readonly format: "yaml" | "json";
  /** Number among the documents that are not empty, from 1. */
  readonly document: number;
  /** Line of its first key or bracket in the text, from 1. */
  readonly line: number;
  /** What Kubernetes reads otherwise than it looks: `yes`, `0777`, `1.50`. */
  readonly surprises: readonly Surprise[];
}

/**
 * Every document of a YAML or JSON stream, read as Kubernetes reads it. `place` names the file in
 * errors.
 * @throws SignetError manifest-syntax, manifest-ambiguous
 */
export function parseManifests(text: string, place: ErrorPlace = {}): Manifest[] {
  return parse(text, place).map(({ value, format, document, line, surprises }) => {
    return { value, format, document, line, surprises };
  });
}
