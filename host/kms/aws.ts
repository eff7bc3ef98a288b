// AWS KMS as a key service. Amazon's own provider chain finds the credentials: the environment, the
// web identity of a service account (IRSA), EKS Pod Identity, the instance.
// SPEC.md, "Wrapped keys".

import {
  DecryptCommand,
  EncryptCommand,
  KMSClient,
  type KMSServiceException,
} from "@aws-sdk/client-kms";
import { SignetError } from "../../shared/errors.ts";
import type { KeyContext, KeyService, WrappedDataKey } from "../../shared/keys/keyservice.ts";

interface AwsOptions {
  /** The ARN of a symmetric key, its id or an alias. */
  readonly key: string;
  /** Undefined: taken from the environment. */
  readonly region: string | undefined;
  /** Undefined: Amazon's own. */
  readonly endpoint: URL | undefined;
}

const TIMEOUT_MS = 10_000;
/** Amazon's own bound of a ciphertext is 6 kB. */
const MAX_ANSWER_BYTES = 256 * 1024;

/**
 * The errors that KMS returns if the ciphertext is damaged, or was made with another key or
 * context.
 */
const REFUSED = new Set(["InvalidCiphertextException", "IncorrectKeyException"]);

export class AwsKms implements KeyService {
  readonly provider = "aws";
  readonly #key: string;
  readonly #client: KMSClient;

  constructor({ key, region, endpoint }: AwsOptions) {
    this.#key = key;
    this.#client = new KMSClient({
      maxAttempts: 2,
      // The client's own collector takes what comes.
      streamCollector: (stream) => collected(stream as AsyncIterable<Uint8Array>),
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint: endpoint.href }),
    });
  }

  describe(): string {
    return `AWS KMS (${this.#key})`;
  }

  async wrap(dataKey: Uint8Array, context: KeyContext): Promise<WrappedDataKey> {
    const answer = await this.#call((options) =>
      this.#client.send(
        new EncryptCommand({
          KeyId: this.#key,
          Plaintext: dataKey,
          EncryptionContext: encryptionContext(context),
        }),
        options,
      ),
    );
    const { CiphertextBlob: ciphertext, KeyId: key } = answer;
    if (!isBytes(ciphertext)) throw this.#unexpected("no ciphertext");
    return { key: typeof key === "string" ? key : this.#key, ciphertext };
  }

  /** Always uses our own key: the ciphertext names one too, but anyone may have written it. */
  async unwrap({ ciphertext }: WrappedDataKey, context: KeyContext): Promise<Uint8Array> {
    const answer = await this.#call((options) =>
      this.#client.send(
        new DecryptCommand({
          KeyId: this.#key,
          CiphertextBlob: ciphertext,
          EncryptionContext: encryptionContext(context),
        }),
        options,
      ),
    );
    if (!isBytes(answer.Plaintext)) throw this.#unexpected("no key");
    return answer.Plaintext;
  }

  async #call<T>(send: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> {
    try {
      return await send({ abortSignal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (error) {
      throw this.#errorOf(error as Partial<KMSServiceException>);
    }
  }

  /** Uses only the error's name, because messages of the service may quote the request. */
  #errorOf({ name = "Error", $metadata }: Partial<KMSServiceException>): SignetError {
    const status = $metadata?.httpStatusCode;
    const words = status === undefined ? name : `${name} (status ${status})`;
    const hint =
      name === "AccessDeniedException"
        ? { hint: "the controller's role needs kms:Encrypt and kms:Decrypt on this key" }
        : {};
    const code = REFUSED.has(name) ? "key-invalid" : "network";
    return new SignetError(code, `${this.describe()}: ${words}`, hint);
  }

  #unexpected(what: string): SignetError {
    return new SignetError("network", `${this.describe()}: ${what} in its answer`);
  }
}

/** The client does not check what kind a field of an answer is of. */
function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length > 0;
}

class AnswerTooLong extends Error {
  override readonly name = "AnswerTooLong";
}

/** @throws AnswerTooLong, and then the rest is not read */
async function collected(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new AnswerTooLong();
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Shown in CloudTrail, and usable in conditions of key policies. */
function encryptionContext({ namespace, name, fingerprint }: KeyContext): Record<string, string> {
  return { "kube-signet": "wrapped-key/1", namespace, name, fingerprint };
}
