// shared/ is checked with Node's types, in which WebCrypto takes any bytes. The DOM's want an
// ArrayBuffer of their own behind them; the page never shares one.

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
