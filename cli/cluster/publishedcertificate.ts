// The certificate that the controller publishes in a ConfigMap. Loaded only where needed.
// SPEC.md, "Published certificates".

import { SignetError } from "../../shared/errors.ts";
import { publishedName, readPublished } from "../../shared/keys/publishedcertificates.ts";
import { detail } from "../terminal/messages.ts";
import { certificateIn, type FoundCertificate } from "./certificateaddress.ts";
import { ask, clusterOf, objectIn, wordsOf } from "./apiserver.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

export interface FoundPublished extends FoundCertificate {
  /** PEM of the certificates of former keys, newest first. */
  readonly former: string;
}

/**
 * The published certificates; else in words why there are none, or null if the cluster does not know
 * the user, which the next request tells better.
 * @throws SignetError network where the cluster does not answer; usage, io
 */
export async function findPublished(
  options: ClusterOptions,
): Promise<FoundPublished | string | null> {
  const { controllerName, controllerNamespace, certificatesConfigmap } = options;
  const [name = "", namespace = controllerNamespace] = (
    certificatesConfigmap ?? publishedName(controllerName)
  )
    .split("/")
    .reverse();
  const source = `ConfigMap ${namespace}/${name}`;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${encodeURIComponent(name)}`;
  detail(`looking for the certificate in ${source}`);
  const answer = await ask(clusterOf(options, false), "GET", path);
  const failed = (why: string): string => {
    detail(`${source}: ${why}`);
    return `${source}: ${why}`;
  };
  if (answer.status === 401) return null;
  if (answer.status === 404) return failed("not found");
  const object = objectIn(answer);
  if (answer.status !== 200 || object === null) return failed(wordsOf(answer));
  try {
    const { current, former } = readPublished(object);
    return { ...certificateIn(current, source), former };
  } catch (error) {
    if (error instanceof SignetError) return failed(error.message);
    throw error;
  }
}
