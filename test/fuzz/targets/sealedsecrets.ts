// SealedSecret objects: reading, opening, merging and describing them.

import { performance } from "node:perf_hooks";
import { sourceOf } from "../../../controller/sourceof.ts";
import { type JsonObject, objectsOf } from "../../../shared/kubernetes/object.ts";
import { parseManifests } from "../../../shared/manifest/manifest.ts";
import { scopeOf } from "../../../shared/sealing/scope.ts";
import {
  formatSealedSecret,
  merge,
  parseSealedSecret,
  sealedForOf,
  stampOf,
  withValuesOf,
} from "../../../shared/sealing/sealedsecret.ts";
import { opens, openValues, type RenderTemplates, unseal } from "../../../shared/sealing/unseal.ts";
import { renderTemplates } from "../../../shared/template/template.ts";
import { mutateManifest } from "../mutate.ts";
import { keyring, sealedObjects, SEALED_WORDS, seedsOf, vectorTexts } from "../material.ts";
import { attempt, checkSame, checkUntold, type Target, textOf, toldBy } from "../target.ts";

const clock = (): number => performance.now();

async function check(object: JsonObject): Promise<void> {
  sourceOf(object);
  const read = await attempt(() => parseSealedSecret(object));
  if ("errors" in read) return;
  const sealed = read.value;
  scopeOf(sealed.metadata.annotations);
  sealedForOf(sealed);
  stampOf(sealed);
  const formatted = formatSealedSecret(sealed);
  const again = parseSealedSecret(formatted);
  checkSame(
    JSON.stringify(formatSealedSecret(again)),
    JSON.stringify(formatted),
    "formatted twice",
  );
  await attempt(() => merge(sealed, again));
  await attempt(() => withValuesOf(sealed, again));
  const keys = keyring();
  const does = await attempt(() => opens(sealed, keys));
  const values = await attempt(() => openValues(sealed, keys));
  if ("value" in values && !("value" in does && does.value) && sealed.legacyData === undefined) {
    checkSame(does, true, "opens");
  }
  const render: RenderTemplates = (items, held) => renderTemplates(items, held, { clock });
  const unsealed = await attempt(() => unseal(sealed, keys, { render }));
  const errors = [does, values, unsealed].flatMap((each) => ("errors" in each ? each.errors : []));
  // Nobody but the holder of the key knows the canary, so no text of the input can hold it.
  for (const error of errors) checkUntold(toldBy(error), "an error");
}

export const sealedSecrets: Target = {
  name: "sealedsecrets",
  seeds: async () => {
    const objects = (await sealedObjects()).map((object) => JSON.stringify(object));
    const vectors = vectorTexts("object").filter((text) => text.includes("SealedSecret"));
    return seedsOf([...objects, ...objects, ...vectors]);
  },
  generate: (random, seeds) => mutateManifest(random, seeds, SEALED_WORDS),
  short: 60,
  run: async (input) => {
    const read = await attempt(() => parseManifests(textOf(input)).flatMap(objectsOf));
    if ("errors" in read) return;
    for (const object of read.value.slice(0, 10)) await check(object);
  },
};
