// The Secrets that a command seals: those in manifests, or one made of values.
// SPEC.md, "Command line", "Values".

import { encodeBase64 } from "../../shared/base64.ts";
import { SignetError } from "../../shared/errors.ts";
import { readInputs } from "../terminal/inputs.ts";
import { gather, type Gathered, gatherObject, type Leniency, type Prepare } from "./gather.ts";
import { hasValues, readValues, type ValueFlags } from "./values.ts";

export interface SecretSources extends ValueFlags {
  /** The type of a Secret made of values. */
  readonly type?: string;
}

/** @throws SignetError usage where both manifests and values are named */
export function checkSources(names: readonly string[], sources: SecretSources): void {
  if (names.length === 0 || !hasValues(sources)) return;
  throw new SignetError("usage", "values given by flags cannot be combined with FILE", {
    hint: "to add values to an existing SealedSecret, use --merge-into",
  });
}

/**
 * `names`: files and folders of manifests; without any, standard input. Values take their place.
 * @throws SignetError, or an AggregateError of them
 */
export async function gatherSecrets(
  names: readonly string[],
  sources: SecretSources,
  prepare: Prepare,
  leniency?: Leniency,
): Promise<Gathered> {
  if (hasValues(sources)) return gatherValues(sources, prepare);
  if (sources.type !== undefined) {
    throw new SignetError("usage", "--type applies only to a Secret made from values", {
      hint: "a manifest sets its own type",
    });
  }
  return gather(await readInputs(names, "a Secret"), prepare, leniency);
}

async function gatherValues(sources: SecretSources, prepare: Prepare): Promise<Gathered> {
  const { data, type: needed } = await readValues(sources);
  const type = sources.type ?? needed;
  const encoded = [...data].map(([item, value]) => [item, encodeBase64(value)] as const);
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {},
    ...(type === undefined ? {} : { type }),
    data: Object.fromEntries(encoded),
  };
  return gatherObject(secret, "command line", prepare);
}
