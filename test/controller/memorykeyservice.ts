// A key service in this process, for tests of what is done with one.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { SignetError } from "../../shared/errors.ts";
import type { KeyContext, KeyService } from "../../shared/keys/keyservice.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM under a key that it keeps to itself, bound to the context. */
export class MemoryKeyService implements KeyService {
  readonly provider = "kmsv2";
  /** Whether it does not answer now. */
  isAway = false;
  readonly #key = randomBytes(32);

  describe(): string {
    return "a key service in memory";
  }

  wrap(dataKey: Uint8Array, context: KeyContext): Promise<{ key: string; ciphertext: Uint8Array }> {
    if (this.isAway) return Promise.reject(new SignetError("network", "it is away"));
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(JSON.stringify(context)));
    const parts = [nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()];
    return Promise.resolve({ key: "memory v1", ciphertext: Buffer.concat(parts) });
  }

  unwrap({ ciphertext }: { ciphertext: Uint8Array }, context: KeyContext): Promise<Uint8Array> {
    if (this.isAway) return Promise.reject(new SignetError("network", "it is away"));
    const nonce = ciphertext.subarray(0, NONCE_BYTES);
    const cipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(JSON.stringify(context)));
    cipher.setAuthTag(ciphertext.subarray(-TAG_BYTES));
    try {
      const text = cipher.update(ciphertext.subarray(NONCE_BYTES, -TAG_BYTES));
      return Promise.resolve(Buffer.concat([text, cipher.final()]));
    } catch {
      return Promise.reject(new SignetError("key-invalid", "it does not open"));
    }
  }
}
