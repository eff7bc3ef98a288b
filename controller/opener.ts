// Opens the values of a SealedSecret for the controller, and turns each failure into a verdict.
// SPEC.md, "Limits".

import { SignetError } from "../shared/errors.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { MAX_TRIALS, Trials, type TrialsOptions } from "../shared/keys/trials.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { parseSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import { type RenderTemplates, unseal, type UnsealedSecret } from "../shared/sealing/unseal.ts";
import { Attempts } from "./attempts.ts";
import type { Log } from "./log.ts";
import { JobLost } from "./sandbox.ts";
import { type Verdict, verdicts } from "./verdict.ts";

export interface OpenerOptions {
  readonly keyring: Keyring;
  readonly render: RenderTemplates;
  /** Runs each operation with a private key for an object of this namespace; default: at once. */
  readonly openIn?: (namespace: string) => NonNullable<TrialsOptions["run"]>;
  readonly acceptLegacy: boolean;
  readonly log: Log;
  /** Called before values are decrypted. */
  readonly onUnseal?: () => void;
}

/** A SealedSecret that gives no Secret. */
export interface OpenFailure {
  readonly verdict: Verdict;
  /** The shortest time until a retry. */
  readonly retryAfterMs?: number;
}

export class Opener {
  readonly #options: OpenerOptions;
  readonly #attempts = new Attempts();

  constructor(options: OpenerOptions) {
    this.#options = options;
  }

  /**
   * Opens all values and renders the templates. `source`: what the attempts are counted for, which
   * differs where the result could. @throws JobLost if the controller stops
   */
  async open(
    key: string,
    object: JsonObject,
    source: string,
  ): Promise<UnsealedSecret | OpenFailure> {
    this.#options.onUnseal?.();
    try {
      const unsealed = await this.#unseal(parseSealedSecret(object), this.#options.render);
      this.#attempts.forget(key);
      return unsealed;
    } catch (error) {
      return this.#failure(key, source, error);
    }
  }

  /** The key of each value; undefined if one does not open. */
  async stampOf(object: JsonObject): Promise<Stamp | undefined> {
    this.#options.onUnseal?.();
    try {
      return (await this.#unseal(parseSealedSecret(object), () => new Map())).stamp;
    } catch (error) {
      if (error instanceof SignetError) return undefined;
      throw error;
    }
  }

  forget(key: string): void {
    this.#attempts.forget(key);
  }

  async #unseal(sealed: SealedSecret, render: RenderTemplates): Promise<UnsealedSecret> {
    const { keyring, openIn, acceptLegacy } = this.#options;
    const run = openIn?.(sealed.metadata.namespace);
    const trials = new Trials({ limit: MAX_TRIALS, ...(run === undefined ? {} : { run }) });
    return unseal(sealed, keyring, { render, acceptLegacy, trials });
  }

  #failure(key: string, source: string, error: unknown): OpenFailure {
    if (error instanceof SignetError) return { verdict: verdicts.unsealFailed(error) };
    if (error instanceof JobLost) {
      if (error.loss === "closed") throw error;
      const lost = new SignetError("template-failed", error.message, {
        place: { field: "spec.template.data" },
      });
      const verdict = verdicts.unsealFailed(lost);
      // Unlike memory, time depends on what else the machine does.
      const retryAfterMs = error.loss === "memory" ? null : this.#attempts.failed(key, source);
      if (retryAfterMs === null) return { verdict };
      return { verdict: { ...verdict, next: "retry" }, retryAfterMs };
    }
    // A bug of ours that this object triggers: a retry would fail the same way.
    const { name, message, stack = "" } = error as Error;
    // Without its message, which may quote a value.
    const at = /^ +at .*$/m.exec(stack.replace(message, () => ""))?.[0].trim();
    this.#options.log.error("unexpected failure", { object: key, error: name, at });
    const failed = new SignetError("sealedsecret-invalid", "it cannot be processed");
    return { verdict: verdicts.unsealFailed(failed) };
  }
}
