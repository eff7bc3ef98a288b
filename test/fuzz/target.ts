// A boundary at which strangers' bytes come in, and what must hold there for any input.

import { inspect, isDeepStrictEqual } from "node:util";
import { SignetError } from "../../shared/errors.ts";
import type { Random } from "./random.ts";

export interface Target {
  readonly name: string;
  /** Inputs that others are made from. */
  readonly seeds: () => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** Inputs that are tried as they are, where seeds are parts of inputs. */
  readonly examples?: () => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** Fragments that mean something at this boundary. */
  readonly words?: readonly string[];
  /** Makes an input; without it, `mutate.ts` changes bytes and fragments of the seeds. */
  readonly generate?: (random: Random, seeds: readonly Uint8Array[]) => Uint8Array;
  /** @throws Find, or any undocumented error, if the input breaks a promise */
  readonly run: (input: Uint8Array) => void | Promise<void>;
  /** How many inputs `npm test` makes. */
  readonly short: number;
  /** Ends what `run` started. */
  readonly close?: () => Promise<void>;
}

/** A promise that an input broke. */
export class Find extends Error {
  override readonly name = "Find";
}

/** In each seed where a value is: no message may quote it. */
export const CANARY = "Canary-7Hq2-plain";

/** Returns the result of the work, or the SignetErrors that it threw; rethrows any other error. */
export async function attempt<T>(
  work: () => T | Promise<T>,
): Promise<{ readonly value: T } | { readonly errors: readonly SignetError[] }> {
  try {
    return { value: await work() };
  } catch (error) {
    const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
    if (errors.length > 0 && errors.every((each) => each instanceof SignetError)) {
      return { errors };
    }
    throw error;
  }
}

/** Everything that an error says, as one text. */
export function toldBy(error: SignetError): string {
  const { code, message, hint, place, cause } = error;
  return JSON.stringify([
    code,
    message,
    hint,
    place,
    cause instanceof Error ? cause.message : cause,
  ]);
}

/** @throws Find if the canary is in any output */
export function checkUntold(told: string, where: string): void {
  if (told.includes(CANARY)) throw new Find(`${where} quotes a value: ${told.slice(0, 500)}`);
}

export function checkSame(one: unknown, other: unknown, what: string): void {
  if (isDeepStrictEqual(one, other)) return;
  const show = (value: unknown): string => inspect(value).slice(0, 300);
  throw new Find(`${what}: ${show(one)} is not ${show(other)}`);
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export const textOf = (input: Uint8Array): string => decoder.decode(input);
export const bytesOf = (text: string): Uint8Array => encoder.encode(text);
