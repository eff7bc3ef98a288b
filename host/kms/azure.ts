// Azure Key Vault (and Managed HSM) as a key service, over its REST API, authenticated by the pod's
// workload identity.
// SPEC.md, "Wrapped keys".

import { SignetError } from "../../shared/errors.ts";
import type { KeyService, WrappedDataKey } from "../../shared/keys/keyservice.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { AccessToken, type FetchedToken, tokenIn } from "./accesstoken.ts";
import { keyIn, type Reply, RestClient } from "./restclient.ts";

interface AzureOptions {
  /** `https://VAULT.vault.azure.net/keys/NAME`, of an RSA key. */
  readonly key: URL;
  /** The settings that the AKS webhook injects into a pod with a workload identity. */
  readonly identity: AzureIdentity;
}

interface AzureIdentity {
  readonly clientId: string;
  readonly tenantId: string;
  readonly tokenFile: string;
  /** Such as `https://login.microsoftonline.com/`. */
  readonly authority: URL;
}

const API_VERSION = "7.4";
const ALGORITHM = "RSA-OAEP-256";
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const VERSION = /^[0-9a-f]{32}$/;

/** @throws SignetError usage if the pod has no workload identity */
export function azureIdentity(env: NodeJS.ProcessEnv): AzureIdentity {
  const named = (name: string): string => {
    const value = env[name];
    if (value !== undefined && value !== "") return value;
    throw new SignetError(
      "usage",
      `${name} is not set: Azure's workload identity webhook should set it`,
    );
  };
  return {
    clientId: named("AZURE_CLIENT_ID"),
    tenantId: named("AZURE_TENANT_ID"),
    tokenFile: named("AZURE_FEDERATED_TOKEN_FILE"),
    authority: new URL(env["AZURE_AUTHORITY_HOST"] ?? "https://login.microsoftonline.com/"),
  };
}

export class AzureKeyVault implements KeyService {
  readonly provider = "azure";
  readonly #options: AzureOptions;
  readonly #http: RestClient;
  readonly #token = new AccessToken(() => this.#fetchToken());

  constructor(options: AzureOptions) {
    this.#options = options;
    this.#http = new RestClient(this.describe());
  }

  describe(): string {
    return `Azure Key Vault (${this.#options.key.href})`;
  }

  /** Key Vault cannot bind a context, so the key's own cipher does. */
  async wrap(dataKey: Uint8Array): Promise<WrappedDataKey> {
    const value = Buffer.from(dataKey).toString("base64url");
    const { body } = await this.#call("wrapkey", "", value);
    const { kid, value: wrapped } = body;
    const version = typeof kid === "string" ? (kid.split("/").at(-1) ?? "") : "";
    if (typeof wrapped !== "string" || !VERSION.test(version)) {
      throw this.#http.unexpected("no wrapped key");
    }
    return { key: `${this.#options.key.href}/${version}`, ciphertext: fromBase64Url(wrapped) };
  }

  /** Only the version is taken from the Secret; vault and key are those of the controller. */
  async unwrap({ key, ciphertext }: WrappedDataKey): Promise<Uint8Array> {
    const version = key.split("/").at(-1) ?? "";
    if (!VERSION.test(version)) throw this.#http.refused("it does not name a version of the key");
    const value = Buffer.from(ciphertext).toString("base64url");
    const { body } = await this.#call("unwrapkey", version, value);
    const text = body["value"];
    return keyIn(
      typeof text === "string" ? Buffer.from(text, "base64url").toString("base64") : undefined,
      this.#http,
    );
  }

  async #call(operation: "wrapkey" | "unwrapkey", version: string, value: string): Promise<Reply> {
    const { key } = this.#options;
    const path = [key.pathname, version, operation].filter((part) => part !== "").join("/");
    const url = new URL(`${path}?api-version=${API_VERSION}`, key);
    const body: JsonObject = { alg: ALGORITHM, value };
    const headers = { authorization: `Bearer ${await this.#token.get()}` };
    const reply = await this.#http.post(url, body, headers);
    if (reply.status === 200) return reply;
    if (reply.status === 401) this.#token.forget();
    const code = asObject(reply.body["error"] ?? null)?.["code"];
    const words = `${typeof code === "string" ? code : "refused"} (status ${reply.status})`;
    const isRefused = operation === "unwrapkey" && [400, 404].includes(reply.status);
    if (isRefused) throw this.#http.refused(words);
    throw this.#http.failed(reply, words);
  }

  async #fetchToken(): Promise<FetchedToken> {
    const { clientId, tenantId, tokenFile, authority } = this.#options.identity;
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: this.#http.readSecret(tokenFile),
      scope: `${this.#audience()}/.default`,
    });
    const url = new URL(`/${tenantId}/oauth2/v2.0/token`, authority);
    const type = { "content-type": "application/x-www-form-urlencoded" };
    return tokenIn(await this.#http.request("POST", url, type, form.toString()), this.#http);
  }

  /** The audience of the token: the service, which is the host without the vault's own name. */
  #audience(): string {
    const { hostname } = this.#options.key;
    return `https://${hostname.split(".").slice(1).join(".")}`;
  }
}

function fromBase64Url(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64url"));
}
