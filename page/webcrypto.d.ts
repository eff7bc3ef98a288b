// shared/ is checked with Node's types, where WebCrypto takes any bytes. The DOM's types require bytes
// with an unshared ArrayBuffer, which the page always has.

interface SubtleCrypto {
  digest(algorithm: string, data: ArrayBufferView): Promise<ArrayBuffer>;
  encrypt(
    algorithm: { name: string; label?: ArrayBufferView; iv?: ArrayBufferView },
    key: CryptoKey,
    data: ArrayBufferView,
  ): Promise<ArrayBuffer>;
  decrypt(
    algorithm: { name: string; label?: ArrayBufferView; iv?: ArrayBufferView },
    key: CryptoKey,
    data: ArrayBufferView,
  ): Promise<ArrayBuffer>;
  importKey(
    format: "pkcs8" | "raw" | "spki",
    keyData: ArrayBufferView,
    algorithm: string | { name: string; hash?: string },
    extractable: boolean,
    keyUsages: KeyUsage[],
  ): Promise<CryptoKey>;
  verify(
    algorithm: string,
    key: CryptoKey,
    signature: ArrayBufferView,
    data: ArrayBufferView,
  ): Promise<boolean>;
}
