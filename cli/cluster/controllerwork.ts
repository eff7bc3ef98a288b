// Has the controller verify or re-seal many SealedSecrets, in batches, and waits when it asks to.
// SPEC.md, "HTTP".

import type { OutgoingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type ErrorPlace, SignetError } from "../../shared/errors.ts";
import { decodeEnvelope, parseEnvelope } from "../../shared/keys/kinds.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import {
  API_VERSION,
  formatSealedSecret,
  KIND,
  parseSealedSecret,
  type SealedSecret,
  withValuesOf,
} from "../../shared/sealing/sealedsecret.ts";
import { ALGORITHM_HEADER } from "../../shared/sealing/seal.ts";
import { DECRYPT_HINT } from "../../shared/sealing/unseal.ts";
import { asObject, type JsonObject, objectsIn, withKind } from "../../shared/kubernetes/object.ts";
import {
  answerHint,
  answerWords,
  connectController,
  type Controller,
  type ControllerAnswer,
} from "./controller.ts";
import type { ClusterOptions } from "./clusteroptions.ts";
import { detail } from "../terminal/messages.ts";

/** What the controller is asked about. */
interface AskedObject {
  /** `NAMESPACE/NAME`, or the name alone. */
  readonly name: string;
  readonly place: ErrorPlace;
  readonly sealed: SealedSecret;
  /** How many count towards the controller's limit. */
  readonly values: { readonly length: number };
}

/** Just below what counts as two requests; SPEC.md, "HTTP". */
const VALUES_A_BATCH = 19;
const BYTES_A_BATCH = 60_000;
/** The controller handles two requests at once; more of them only wait there. */
const SIDE_BY_SIDE = 4;
/** A pod that is replaced is away for seconds; after a minute it will not come back. */
const PATIENCE: Patience = { tooOften: 200, away: 60 };

/** Returns those that the controller cannot open. @throws SignetError network, usage */
export async function verifyAtController<T extends AskedObject>(
  options: ClusterOptions,
  objects: readonly T[],
): Promise<T[]> {
  const controller = await connectController(options);
  const refused: T[] = [];
  await inBatches(objects, async (batch) => {
    const answer = await post(controller, "/v1/verify", batch);
    if (answer.status === 200) return;
    for (const object of batch) {
      const single = batch.length === 1 ? answer : await post(controller, "/v1/verify", [object]);
      if (single.status === 409) refused.push(object);
      else if (single.status !== 200) throw failed("verify", single, options);
    }
  });
  return refused;
}

/**
 * Calls `done` with each object as soon as it is re-sealed or has failed. `algorithm`: what every
 * value is to be sealed with; by default each stays what it is.
 * @throws SignetError network, usage
 */
export async function rotateAtController<T extends AskedObject>(
  options: ClusterOptions & { readonly algorithm?: string | undefined },
  objects: readonly T[],
  done: (object: T, result: SealedSecret | SignetError) => Promise<void>,
): Promise<void> {
  const { algorithm } = options;
  const headers = algorithmHeaders(algorithm);
  const controller = await connectController(options);
  await inBatches(objects, async (batch) => {
    const answer = await post(controller, "/v1/rotate", batch, headers);
    const rotated = answer.status === 200 ? sealedOf(answer, batch) : null;
    if (rotated !== null) {
      for (const [index, object] of batch.entries()) {
        const sealed = rotated[index] as SealedSecret;
        await done(object, isSealedIn(sealed, algorithm) ? sealed : doesNotKnow(object));
      }
      return;
    }
    for (const object of batch) {
      const single =
        batch.length === 1 ? answer : await post(controller, "/v1/rotate", [object], headers);
      if (single.status !== 200 && single.status !== 409) throw failed("re-seal", single, options);
      if (single.status === 409) {
        await done(object, doesNotOpen(object));
        continue;
      }
      const [sealed] = sealedOf(single, [object]) ?? [];
      await done(object, sealed ?? doesNotFit(object));
    }
  });
}

function failed(what: string, answer: ControllerAnswer, options: ClusterOptions): SignetError {
  const { controllerName: name, controllerNamespace: namespace } = options;
  const { status } = answer;
  const isForNow = status === 429 || status >= 500;
  const hint =
    status === 403
      ? `you need permission to "create" services/proxy of ${name} in namespace ${namespace}`
      : isForNow
        ? (answerHint(answer, options) ?? "see its log; run this again once it responds")
        : undefined;
  const words = `the controller cannot ${what}: ${answerWords(answer)}`;
  return new SignetError("network", words, hint === undefined ? {} : { hint });
}

function doesNotOpen({ place, name }: AskedObject): SignetError {
  return new SignetError("decrypt-failed", "no key could decrypt secret", {
    hint: DECRYPT_HINT,
    place: { ...place, object: name },
  });
}

function doesNotFit({ place, name }: AskedObject): SignetError {
  const words = "cannot re-seal: the controller's answer does not match the request";
  return new SignetError("network", words, { place: { ...place, object: name } });
}

/** The headers that have a controller re-seal with `algorithm`. */
export function algorithmHeaders(algorithm: string | undefined): OutgoingHttpHeaders {
  return algorithm === undefined ? {} : { [ALGORITHM_HEADER]: algorithm };
}

/** Whether every value is sealed with `algorithm`, if one is given. */
export function isSealedIn(
  { encryptedData, legacyData }: SealedSecret,
  algorithm: string | undefined,
): boolean {
  if (algorithm === undefined) return true;
  const envelopes =
    legacyData === undefined
      ? [...encryptedData.values()].map(decodeEnvelope)
      : [parseEnvelope(legacyData)];
  return envelopes.every((envelope) => envelope?.kind === algorithm);
}

function doesNotKnow({ place, name }: AskedObject): SignetError {
  return new SignetError("network", "the controller cannot re-seal with that algorithm", {
    hint: "it may be a different controller or version; no changes made",
    place: { ...place, object: name },
  });
}

async function inBatches<T extends AskedObject>(
  objects: readonly T[],
  work: (batch: T[]) => Promise<void>,
): Promise<void> {
  const batches: T[][] = [];
  let [values, bytes] = [Infinity, 0];
  for (const object of objects) {
    const size = JSON.stringify(formatSealedSecret(object.sealed)).length;
    const fits = values + object.values.length <= VALUES_A_BATCH && bytes + size <= BYTES_A_BATCH;
    if (!fits) {
      batches.push([]);
      [values, bytes] = [0, 0];
    }
    batches.at(-1)?.push(object);
    values += object.values.length;
    bytes += size;
  }
  const waiting = batches.values();
  const worker = async (): Promise<void> => {
    for (const batch of waiting) await work(batch);
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
}

/** Posts one object as itself, several as a List. */
function post(
  controller: Controller,
  route: string,
  batch: readonly Pick<AskedObject, "sealed">[],
  headers: OutgoingHttpHeaders = {},
): Promise<ControllerAnswer> {
  const items = batch.map(({ sealed }) => formatSealedSecret(sealed));
  const [first] = items;
  const isAlone = first !== undefined && items.length === 1;
  const body = isAlone ? first : { apiVersion: "v1", kind: "List", items };
  return postPatiently(controller, route, body, PATIENCE, headers);
}

/** How many answers of each kind to accept before giving up: 429, and 503. */
export interface Patience {
  readonly tooOften: number;
  readonly away: number;
}

/** Posts an object; waits and posts it again where the answer is 429 or 503. */
export async function postPatiently(
  controller: Controller,
  route: string,
  body: JsonObject,
  patience: Patience,
  headers: OutgoingHttpHeaders = {},
): Promise<ControllerAnswer> {
  let [tooOften, away] = [0, 0];
  for (;;) {
    const answer = await controller.request("POST", route, JSON.stringify(body), headers);
    if (answer.status === 503) away++;
    else if (answer.status === 429) tooOften++;
    else return answer;
    if (away >= patience.away || tooOften >= patience.tooOften) return answer;
    const seconds = secondsToWait(answer);
    detail(
      `${answer.status === 503 ? "controller unavailable" : "too many requests"}; waiting for ${seconds} s`,
    );
    await sleep(seconds * 1000);
  }
}

/** What the answer says, within limits. A date, which the controller does not send, is ignored. */
function secondsToWait({ headers }: ControllerAnswer): number {
  const seconds = Number(headers["retry-after"] ?? 1);
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0.1), 10) : 1;
}

/** What was sent, with the values of the answer; null where the answer is about other objects. */
function sealedOf(
  { text }: ControllerAnswer,
  batch: readonly Pick<AskedObject, "sealed">[],
): SealedSecret[] | null {
  let answered: SealedSecret[];
  try {
    const object = asObject(JSON.parse(text) as Json) ?? {};
    const objects = object["kind"] === "List" ? objectsIn(object["items"]) : [object];
    answered = objects.map((each) => parseSealedSecret(withKind(each, KIND, API_VERSION)));
  } catch (error) {
    if (error instanceof SignetError || error instanceof SyntaxError) return null;
    throw error;
  }
  if (answered.length !== batch.length) return null;
  const taken = batch.flatMap(({ sealed }, index) => {
    const after = answered[index];
    const one = after === undefined ? null : withValuesOf(sealed, after);
    return one === null ? [] : [one];
  });
  return taken.length === batch.length ? taken : null;
}
