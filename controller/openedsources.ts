// The opened values of SealedSecrets while they are delivered: opened once for each version, and kept
// only as long as deliveries of it follow one another.
// SPEC.md, "Deliveries".

import type { UnsealedSecret } from "../shared/sealing/unseal.ts";
import { type OpenFailure, Opener, type OpenerOptions } from "./opener.ts";
import { sourceOf } from "./sourceof.ts";
import type { World } from "./world.ts";

/** Values that nobody asked for this long are forgotten. */
const KEPT_MS = 5_000;
/** Above this many bytes of values, those that were opened first are forgotten. */
const MAX_BYTES = 16 * 1024 * 1024;

type Opened = UnsealedSecret | OpenFailure;

interface Entry {
  readonly source: string;
  /** Null if the SealedSecret has changed meanwhile. */
  readonly result: Promise<Opened | null>;
  bytes: number;
  timer?: NodeJS.Timeout;
}

export class OpenedSources {
  readonly #opener: Opener;
  readonly #world: World;
  readonly #entries = new Map<string, Entry>();

  constructor(options: OpenerOptions, world: World) {
    this.#opener = new Opener(options);
    this.#world = world;
  }

  /**
   * Returns the Secret of a SealedSecret, or why it gives none; null if the SealedSecret has another
   * source by now. @throws WorldError; JobLost if the controller stops
   */
  async get(from: string, source: string): Promise<Opened | null> {
    let entry = this.#entries.get(from);
    if (entry?.source !== source) {
      this.#close(from);
      entry = { source, result: this.#open(from, source), bytes: 0 };
      this.#entries.set(from, entry);
    }
    clearTimeout(entry.timer);
    const held = entry;
    try {
      const opened = await held.result;
      if (opened === null || isTransient(opened)) this.#drop(from, held);
      else this.#keep(from, held, opened);
      return opened;
    } catch (error) {
      this.#drop(from, held);
      throw error;
    }
  }

  /** Call this for a SealedSecret that is delivered nowhere any more. */
  forget(from: string): void {
    this.#close(from);
    this.#opener.forget(from);
  }

  /** Makes all values be opened again. */
  clear(): void {
    for (const from of [...this.#entries.keys()]) this.#close(from);
  }

  #close(from: string): void {
    const entry = this.#entries.get(from);
    if (entry !== undefined) this.#drop(from, entry);
  }

  async #open(from: string, source: string): Promise<Opened | null> {
    const observed = await this.#world.sealedSecret(from);
    if (observed === undefined || observed.excess !== null) return null;
    if (sourceOf(observed.object) !== source) return null;
    return this.#opener.open(from, observed.object, source);
  }

  #keep(from: string, entry: Entry, opened: Opened): void {
    if (this.#entries.get(from) !== entry) return;
    entry.bytes = "verdict" in opened ? 0 : bytesIn(opened);
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => {
      this.#drop(from, entry);
    }, KEPT_MS);
    entry.timer.unref();
    let bytes = 0;
    for (const each of this.#entries.values()) bytes += each.bytes;
    for (const [key, each] of this.#entries) {
      if (bytes <= MAX_BYTES) return;
      if (each === entry) continue;
      bytes -= each.bytes;
      this.#drop(key, each);
    }
  }

  #drop(from: string, entry: Entry): void {
    clearTimeout(entry.timer);
    if (this.#entries.get(from) === entry) this.#entries.delete(from);
  }
}

function isTransient(opened: Opened): boolean {
  return "verdict" in opened && opened.verdict.next === "retry";
}

function bytesIn({ secret }: UnsealedSecret): number {
  let bytes = 0;
  for (const value of secret.data.values()) bytes += value.length;
  return bytes;
}
