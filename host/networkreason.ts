// Explains why a network request failed.
// SPEC.md, "Command line", "Certificate".

/** The reason why a request failed, for an error message. */
export function networkReason(error: unknown, timeoutMs: number): string {
  if (error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError")) {
    return `no response within ${timeoutMs / 1000} s`;
  }
  // fetch has the reason in `cause`; several tried addresses give an AggregateError.
  for (let inner: unknown = error; inner instanceof Error; inner = inner.cause) {
    const [first] = inner instanceof AggregateError ? (inner.errors as unknown[]) : [inner];
    const code = first instanceof Error && "code" in first ? first.code : undefined;
    if (typeof code === "string") return NETWORK_WORDS[code] ?? code;
  }
  // The message of the library that connects through a proxy.
  if (error instanceof Error && error.message === "Proxy timeout") {
    return `no response within ${timeoutMs / 1000} s`;
  }
  const refusal = error instanceof Error && /^Bad response: (\d{3})$/.exec(error.message);
  return refusal ? `the proxy refused with status ${refusal[1]}` : "the request failed";
}

const NETWORK_WORDS: Record<string, string> = {
  ECONNREFUSED: "connection refused (ECONNREFUSED)",
  ECONNRESET: "connection reset (ECONNRESET)",
  UND_ERR_SOCKET: "connection closed unexpectedly",
  ENOTFOUND: "no such host (ENOTFOUND)",
  EAI_AGAIN: "temporary failure in name resolution (EAI_AGAIN)",
  EHOSTUNREACH: "host unreachable (EHOSTUNREACH)",
  ENETUNREACH: "network unreachable (ENETUNREACH)",
  ETIMEDOUT: "connection timed out (ETIMEDOUT)",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its TLS certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "its TLS certificate is not signed by an authority known here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its TLS certificate is not signed by an authority known here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its TLS certificate is not signed by an authority known here",
  UNABLE_TO_GET_ISSUER_CERT: "its TLS certificate is not signed by an authority known here",
  EPROTO: "the server does not use TLS (EPROTO)",
  CERT_HAS_EXPIRED: "its TLS certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its TLS certificate is for another host",
};
