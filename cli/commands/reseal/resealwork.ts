// Re-seals stale SealedSecrets in parallel, and writes each file once.
// SPEC.md, "Whole repositories".

import { availableParallelism } from "node:os";
import { writeFiles } from "../../../host/writefiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import type { Certificate } from "../../../shared/keys/keykind.ts";
import { Keyring } from "../../../shared/keys/keyring.ts";
import type { SealingKey } from "../../../shared/keys/sealingkey.ts";
import { reseal } from "../../../shared/sealing/seal.ts";
import type { SealedSecret } from "../../../shared/sealing/sealedsecret.ts";
import type { GivenClusterOptions } from "../../cluster/clusteroptions.ts";
import { projectClusterOptions } from "../../repository/clustercertificates.ts";
import { envelopeOf } from "../../repository/envelopes.ts";
import { areKeysGiven, type GivenKeys, readGivenKeys } from "../../repository/openingkeys.ts";
import {
  byCluster,
  editedText,
  readFoundText,
  type SealedFile,
  type SealedObject,
} from "../../repository/sealedfiles.ts";
import { inRuledNamespace } from "../../repository/sealingplace.ts";
import { Progress } from "../../terminal/progress.ts";

/** Files written at once: they share disk syncs, and a kill loses at most these. */
const FILES_A_WRITE = 32;

export interface Resealed {
  readonly cluster: string;
  readonly file: string;
  readonly name: string;
  readonly items: readonly string[];
  readonly fingerprint: string;
}

/** Opens the values: private keys, or without any, each cluster's controller. */
interface Opening extends GivenClusterOptions, GivenKeys {
  /** Algorithm for every value; by default, each keeps its own. */
  readonly algorithm?: string | undefined;
}

interface StaleObject {
  readonly file: SealedFile;
  readonly object: SealedObject;
  readonly certificate: Certificate;
}

/** Items whose value is not known to be sealed with the newest key, or not with `algorithm`. */
export function staleItems(
  { sealed, values }: SealedObject,
  { fingerprint }: Certificate,
  algorithm: string | undefined,
): string[] {
  return values
    .filter((value) => {
      if (value.fingerprint !== fingerprint) return true;
      return algorithm !== undefined && envelopeOf(sealed, value.item)?.kind !== algorithm;
    })
    .map(({ item }) => item);
}

export function resultOf(
  file: SealedFile,
  object: SealedObject,
  certificate: Certificate,
  algorithm: string | undefined,
): Resealed {
  return {
    cluster: object.meaning?.cluster.name ?? "",
    file: file.path,
    name: object.name,
    items: staleItems(object, certificate, algorithm),
    fingerprint: certificate.fingerprint,
  };
}

/** Re-seals objects in parallel, and writes each file once all of its objects are re-sealed. */
export class ResealWork {
  readonly done: Resealed[] = [];
  readonly errors: SignetError[] = [];
  readonly #stale: readonly StaleObject[];
  readonly #options: Opening;
  readonly #open = new Map<
    SealedFile,
    { left: number; readonly after: Map<SealedObject, SealedSecret> }
  >();
  readonly #byObject: ReadonlyMap<SealedObject, StaleObject>;
  readonly #progress: Progress;
  #ready: { file: SealedFile; after: Map<SealedObject, SealedSecret> }[] = [];
  #writing: Promise<void> = Promise.resolve();

  constructor(stale: readonly StaleObject[], options: Opening) {
    this.#stale = stale;
    this.#options = options;
    this.#byObject = new Map(stale.map((each) => [each.object, each]));
    this.#progress = new Progress("re-sealed", stale.length);
    for (const { file } of stale) {
      const open = this.#open.get(file) ?? {
        left: 0,
        after: new Map<SealedObject, SealedSecret>(),
      };
      open.left++;
      this.#open.set(file, open);
    }
  }

  async run(): Promise<void> {
    try {
      if (areKeysGiven(this.#options)) await this.#offline(await readGivenKeys(this.#options));
      else await this.#throughController();
    } finally {
      // Keep what was re-sealed, whatever stopped the work.
      await this.#flush();
      this.#progress.end();
    }
  }

  async #offline(keys: readonly SealingKey[]): Promise<void> {
    const cores = availableParallelism();
    const keyring = new Keyring(keys);
    const waiting = this.#stale.values();
    const worker = async (): Promise<void> => {
      for (const { object, certificate } of waiting) {
        let result: SealedSecret | SignetError;
        try {
          const { algorithm } = this.#options;
          const sealed = inRuledNamespace(object);
          result = await reseal(sealed, keyring, 1, certificate, undefined, algorithm);
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          result = error.at({ ...object.place, object: object.name });
        }
        await this.#take(object, result);
      }
    };
    await Promise.all(Array.from({ length: cores * 2 }, worker));
  }

  async #throughController(): Promise<void> {
    const { rotateAtController } = await import("../../cluster/controllerwork.ts");
    // In parallel: each controller has its own limits, and none waits for another.
    const ended = await Promise.allSettled(
      [...byCluster(this.#stale.map(({ object }) => object)).values()].map(async (objects) => {
        const cluster = objects[0]?.meaning?.cluster;
        if (cluster === undefined) return;
        const connection = projectClusterOptions(cluster, this.#options);
        try {
          const { algorithm } = this.#options;
          await rotateAtController({ ...connection, algorithm }, objects, (object, result) =>
            this.#take(object, result),
          );
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          this.errors.push(error.at({ object: cluster.name }));
        }
      }),
    );
    for (const each of ended) if (each.status === "rejected") throw each.reason;
  }

  async #take(object: SealedObject, result: SealedSecret | SignetError): Promise<void> {
    const stale = this.#byObject.get(object);
    const open = stale === undefined ? undefined : this.#open.get(stale.file);
    if (stale === undefined || open === undefined) return;
    if (result instanceof SignetError) {
      this.errors.push(result);
    } else {
      open.after.set(object, result);
    }
    this.#progress.step();
    if (--open.left > 0) return;
    this.#open.delete(stale.file);
    if (open.after.size > 0) this.#ready.push({ file: stale.file, after: open.after });
    if (this.#ready.length >= FILES_A_WRITE) await this.#flush();
  }

  #flush(): Promise<void> {
    const ready = this.#ready;
    this.#ready = [];
    // One write at a time: each writes many files.
    this.#writing = this.#writing.then(async () => {
      const edited = ready.flatMap(({ file, after }) => {
        try {
          checkUnchanged(file);
          return [{ file, after, text: editedText(file, after) }];
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          this.errors.push(error);
          return [];
        }
      });
      await writeFiles(edited.map(({ file: { path, root }, text }) => ({ path, root, text })));
      for (const { file, after } of edited) {
        for (const object of after.keys()) {
          const { certificate } = this.#byObject.get(object) as StaleObject;
          this.done.push(resultOf(file, object, certificate, this.#options.algorithm));
        }
      }
    });
    return this.#writing;
  }
}

/** Does not replace a file that changed meanwhile. @throws SignetError io */
function checkUnchanged(file: SealedFile): void {
  const { path, text } = file;
  if (readFoundText(file) === text) return;
  throw new SignetError("io", "was changed meanwhile, so it was not written", {
    hint: "run it again",
    place: { file: path },
  });
}
