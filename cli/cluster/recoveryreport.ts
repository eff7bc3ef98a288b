// What a controller publishes for the recovery of its keys.
// SPEC.md, "Recovery".

import { SignetError } from "../../shared/errors.ts";
import { isLockedBackup } from "../../shared/keys/keyfile.ts";
import { isRecoveryFile, MAX_RECOVERY_CHARACTERS } from "../../shared/keys/recoverynames.ts";
import { asObject, jsonObjectIn, objectsIn } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import type { ClusterOptions } from "./clusteroptions.ts";
import { answerHint, answerWords, connectController } from "./controller.ts";

/** The recovery files of a key, by name. */
export interface PublishedKey {
  readonly fingerprint: string;
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Null where the controller has no recovery recipients, or is one that knows of none.
 * @throws SignetError network, usage
 */
export async function fetchRecovery(options: ClusterOptions): Promise<PublishedKey[] | null> {
  const controller = await connectController(options);
  const answer = await controller.request("GET", "/v1/recovery");
  if (answer.status === 404) return null;
  if (answer.status !== 200) {
    const hint = answerHint(answer, options);
    const words = `cannot fetch the recovery files: ${answerWords(answer)}`;
    throw new SignetError("network", words, hint === undefined ? {} : { hint });
  }
  const keys = reportedKeys(answer.text);
  if (keys !== null) return keys;
  throw new SignetError("network", `${controller.source} did not return recovery files`);
}

function reportedKeys(text: string): PublishedKey[] | null {
  const keys = jsonObjectIn(text)?.["keys"];
  if (!Array.isArray(keys)) return null;
  return objectsIn(keys).map(({ fingerprint, files }) => ({
    fingerprint: typeof fingerprint === "string" ? fingerprint : "",
    files: new Map(
      Object.entries(asObject(files ?? null) ?? {}).filter((entry): entry is [string, string] =>
        isPublished(...entry),
      ),
    ),
  }));
}

function isPublished(name: string, text: Json): boolean {
  if (typeof text !== "string" || text.length > MAX_RECOVERY_CHARACTERS) return false;
  return isRecoveryFile(name) && isLockedBackup(new TextEncoder().encode(text.slice(0, 64)));
}
