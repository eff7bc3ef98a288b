// The settings that `signet page` or the controller wrote into the page. See shared/sealingpage.ts.

import type { PageCluster, PageSettings } from "../shared/sealingpage.ts";
import { asObject, jsonObjectIn, objectsIn } from "../shared/kubernetes/object.ts";

/** Returns the settings in a JSON text, without invalid ones. */
export function readSettings(json: string): PageSettings {
  const { clusters, scope, newFile } = asObject(jsonObjectIn(json)) ?? {};
  return {
    clusters: objectsIn(clusters).flatMap(({ name, certificates }): PageCluster[] =>
      typeof name === "string" && typeof certificates === "string" ? [{ name, certificates }] : [],
    ),
    ...(typeof scope === "string" ? { scope } : {}),
    ...(typeof newFile === "string" ? { newFile } : {}),
  };
}
