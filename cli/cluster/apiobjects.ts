// Requests to the API server for Secrets and SealedSecrets. Loaded only where needed.
// SPEC.md, "Command line".

import { SignetError } from "../../shared/errors.ts";
import { eachPage } from "../../host/kubernetes/paging.ts";
import { KEY_LABEL } from "../../shared/keys/keyfile.ts";
import { WRAPPED_KEY_LABEL } from "../../shared/keys/wrappedkey.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { asObject, type JsonObject, objectsIn } from "../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import { type ApiServer, connectApiServer, objectIn, wordsOf } from "./apiserver.ts";
import type { Answer } from "../../host/http.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

/** The object of an answer. @throws SignetError network if it is not an object, or a refusal */
function objectOf(answer: Answer, what: string): JsonObject {
  if (answer.status < 200 || answer.status > 299) {
    throw new SignetError("network", `${what}: ${wordsOf(answer)}`, {
      ...(answer.status === 403
        ? { hint: "the kubeconfig's user has no permission for this" }
        : {}),
    });
  }
  const object = objectIn(answer);
  if (object !== null) return object;
  throw new SignetError("network", `${what}: the answer is not an object`);
}

async function list(
  api: ApiServer,
  path: string,
  query: Readonly<Record<string, string>>,
  what: string,
): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  await eachPage(
    async (page) => {
      const parameters = new URLSearchParams({ ...page, ...query });
      const answer = await api.request("GET", `${path}?${parameters.toString()}`);
      return () => objectOf(answer, `cannot list ${what}`);
    },
    (page) => items.push(...objectsIn(page["items"])),
  );
  return items;
}

const secretsPath = (namespace: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;

interface SecretId {
  readonly namespace: string;
  readonly name: string;
}

/** A Secret of the cluster. @throws SignetError network, secret-invalid */
export async function readSecret(options: ClusterOptions, id: SecretId): Promise<Secret> {
  return secretOf(await getSecret(options, id), id);
}

/** The same, or null where it does not exist. */
export async function readSecretIfThere(
  options: ClusterOptions,
  id: SecretId,
): Promise<Secret | null> {
  const answer = await getSecret(options, id);
  return answer.status === 404 ? null : secretOf(answer, id);
}

function getSecret(options: ClusterOptions, { namespace, name }: SecretId): Promise<Answer> {
  const path = `${secretsPath(namespace)}/${encodeURIComponent(name)}`;
  return connectApiServer(options).request("GET", path);
}

function secretOf(answer: Answer, { namespace, name }: SecretId): Secret {
  const object = objectOf(answer, `cannot get Secret ${namespace}/${name}`);
  return parseSecret({ ...object, apiVersion: "v1", kind: "Secret" });
}

/** Every SealedSecret of the cluster, by `NAMESPACE/NAME`. @throws SignetError network */
export async function listSealedSecrets(options: ClusterOptions): Promise<Map<string, JsonObject>> {
  const api = connectApiServer(options);
  const path = "/apis/bitnami.com/v1alpha1/sealedsecrets";
  const found = await list(api, path, {}, "SealedSecrets");
  return new Map(
    found.map((object) => {
      const { namespace, name } = asObject(object["metadata"] ?? null) ?? {};
      return [`${textOf(namespace)}/${textOf(name)}`, object];
    }),
  );
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

/** The single key from before 2019, which has no label. */
const UNLABELLED_KEY = "sealed-secrets-key";

/**
 * Every sealing key Secret of the controller, whatever its label says.
 * @throws SignetError network
 */
export async function listKeySecrets(options: ClusterOptions): Promise<JsonObject[]> {
  const api = connectApiServer(options);
  const listed = (query: Readonly<Record<string, string>>): Promise<JsonObject[]> =>
    list(
      api,
      secretsPath(options.controllerNamespace),
      query,
      `the sealing keys in ${options.controllerNamespace}`,
    );
  const found = [
    ...(await listed({ labelSelector: KEY_LABEL })),
    ...(await listed({ labelSelector: WRAPPED_KEY_LABEL })),
    ...(await listed({
      labelSelector: `!${KEY_LABEL}`,
      fieldSelector: `metadata.name=${UNLABELLED_KEY}`,
    })),
  ];
  return found.map((object) => ({ apiVersion: "v1", kind: "Secret", ...object }));
}

/**
 * Creates a key Secret; false where its name already exists.
 * @throws SignetError network
 */
export async function createKeySecret(
  options: ClusterOptions,
  object: JsonObject,
): Promise<boolean> {
  const api = connectApiServer(options);
  const path = `${secretsPath(options.controllerNamespace)}?fieldManager=signet`;
  const answer = await api.request("POST", path, JSON.stringify(object), METADATA_ONLY);
  if (answer.status === 409) return false;
  // The server's message may quote what it refuses: here, a private key.
  const unquoted = answer.status < 300 ? answer : { ...answer, text: "" };
  objectOf(unquoted, "cannot create a key Secret");
  return true;
}

/** Keeps the key itself out of the answer. */
const METADATA_ONLY = {
  accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
};

/** Sets labels and annotations of a key Secret. @throws SignetError network */
export async function patchKeySecret(
  options: ClusterOptions,
  name: string,
  metadata: JsonObject,
): Promise<void> {
  const api = connectApiServer(options);
  const path = `${secretsPath(options.controllerNamespace)}/${encodeURIComponent(name)}`;
  const headers = { ...METADATA_ONLY, "content-type": "application/merge-patch+json" };
  const body = JSON.stringify({ metadata });
  const answer = await api.request("PATCH", `${path}?fieldManager=signet`, body, headers);
  objectOf(answer, `cannot change the key Secret ${options.controllerNamespace}/${name}`);
}
