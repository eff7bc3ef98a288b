// What is kept of a SealedSecret whose Secret is in sync: enough to see that nothing is to be done. As
// there may be 100,000, and every object and every text takes memory of its own, it is one text.
// SPEC.md, "Limits".

import type { Keyring } from "../shared/keys/keyring.ts";
import { type Claim, isOurs, type Under } from "./keyrecord.ts";
import { isSameMark, isTagOurs, type Left, type LeftClaim, type SecretMark } from "./record.ts";

/** What its summary counts. */
interface Counted {
  readonly instance: string;
  readonly values: number;
  readonly hybridValues: number;
}

/** Between the parts of the text. Nothing that the controller writes into a status contains it. */
const SEPARATOR = "\n";

/** The facts of a SealedSecret at rest, as its status has them: anyone may have written them. */
export class Resting implements Counted, Claim {
  readonly #key: string;
  readonly #text: string;
  readonly instance: string;
  readonly values: number;
  readonly hybridValues: number;
  readonly under: Under;
  isOurs?: boolean;
  checkedWith?: Keyring["keys"];

  private constructor(key: string, text: string, under: Under, counted: Counted) {
    this.#key = key;
    this.#text = text;
    this.under = under;
    this.instance = counted.instance;
    this.values = counted.values;
    this.hybridValues = counted.hybridValues;
  }

  /**
   * `key`: its `namespace/name`. `written`: the Secret that the controller made from the SealedSecret
   * as it is. Null if the controller cannot have written these.
   */
  static of(key: string, counted: Counted, record: Claim, written: LeftClaim): Resting | null {
    const { uid, resourceVersion, source, patched } = written.left;
    if (typeof record.uid !== "string" || record.uid !== written.owner) return null;
    const parts = [
      ...[record.uid, record.ciphertexts, record.tag],
      ...[uid, resourceVersion, source, String(patched), written.tag],
    ];
    const text = parts.join(SEPARATOR);
    if (text.split(SEPARATOR).length !== parts.length) return null;
    return new Resting(key, text, record.under, counted);
  }

  /** The Secret that the controller made from the SealedSecret as it is. */
  get written(): LeftClaim {
    const [owner = "", , , uid = "", resourceVersion = "", source = "", patched, tag = ""] =
      this.#text.split(SEPARATOR);
    return { left: { uid, resourceVersion, source, patched: patched === "true" }, owner, tag };
  }

  get left(): Left {
    return this.written.left;
  }

  get namespace(): string {
    return this.#key.slice(0, this.#key.indexOf("/"));
  }

  get name(): string {
    return this.#key.slice(this.#key.indexOf("/") + 1);
  }

  get uid(): string {
    return this.#part(0);
  }

  get ciphertexts(): string {
    return this.#part(1);
  }

  /** Of the record of the values' keys. */
  get tag(): string {
    return this.#part(2);
  }

  #part(index: number): string {
    return this.#text.split(SEPARATOR, index + 1)[index] ?? "";
  }

  get synced(): true {
    return true;
  }

  get record(): Claim {
    return this;
  }
}

/** Whether a Secret is the version that the status says the controller left. */
export function isAsLeft({ left }: Resting, mark: SecretMark | undefined): boolean {
  return isSameMark(left, mark);
}

/** Whether the controller wrote all of it, and no value is under one of the `compromised` keys. */
export function isTrusted(
  resting: Resting,
  keyring: Keyring,
  compromised: ReadonlySet<string>,
): boolean {
  if (resting.under.counts.some(([fingerprint]) => compromised.has(fingerprint))) return false;
  return isOurs(resting, keyring) && isTagOurs(resting.written, keyring);
}
