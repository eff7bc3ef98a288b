// A certificate read from a file, or fetched from an address.
// SPEC.md, "Command line", "Certificate".

import { parse } from "node:path";
import { fileURLToPath } from "node:url";
import { networkReason } from "../../host/networkreason.ts";
import { environmentProxy, proxyWords } from "../../host/proxies.ts";
import { readText, readTextWithin } from "../../host/readfile.ts";
import { MAX_SETTINGS_BYTES } from "../../host/rootedfiles.ts";
import { type ErrorDetails, locate, SignetError } from "../../shared/errors.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { warn } from "../terminal/messages.ts";
import { whileWaiting } from "../terminal/progress.ts";

export interface FoundCertificate {
  readonly certificate: Certificate;
  /** All that was read: the certificate, and what came with it. */
  readonly text: string;
  /** The file, the address, or a name for the cluster. */
  readonly source: string;
}

/**
 * `pinned`: the caller compares its fingerprint with a known one, so that TLS adds nothing.
 * @throws SignetError io, network, certificate-invalid
 */
export async function readCertificate(
  fileOrUrl: string,
  timeoutMs: number,
  pinned = false,
): Promise<FoundCertificate> {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(fileOrUrl)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === "file") {
    if (scheme === undefined) return certificateIn(readText(fileOrUrl), fileOrUrl);
    // signet.yaml may say this address, so it must not lead to a pipe or a device.
    const path = pathOf(fileOrUrl);
    return certificateIn(readTextWithin(parse(path).root, path, MAX_SETTINGS_BYTES), path);
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new SignetError("usage", `cannot fetch a certificate over ${scheme}://`, {
      hint: "give a file, or an address that begins with https://",
    });
  }
  const { url, shown, authorization } = withoutCredentials(fileOrUrl);
  if (scheme === "http" && !pinned) {
    warn(
      `${shown} is fetched without TLS: anyone who can change the traffic can read what you seal`,
    );
  }
  return certificateIn(await download(url, shown, authorization, timeoutMs), shown);
}

function pathOf(address: string): string {
  try {
    return fileURLToPath(address);
  } catch {
    throw new SignetError("usage", `not the address of a local file: ${address}`, {
      hint: "such as file:///srv/cert.pem",
    });
  }
}

/** @throws SignetError certificate-invalid */
export function certificateIn(text: string, source: string): FoundCertificate {
  return { certificate: locate({ file: source }, () => parseCertificate(text)), text, source };
}

/** Moves a password from an address to a header, as messages show the address. */
function withoutCredentials(address: string): {
  readonly url: URL;
  readonly shown: string;
  readonly authorization: string | undefined;
} {
  const shown = address.replace(/\/\/[^/?#]*@/, "//");
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new SignetError("usage", `not an address: ${shown}`);
  }
  const { username, password } = url;
  url.username = url.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization =
    username === "" && password === ""
      ? undefined
      : `Basic ${Buffer.from(pair).toString("base64")}`;
  return { url, shown, authorization };
}

async function download(
  url: URL,
  shown: string,
  authorization: string | undefined,
  timeoutMs: number,
): Promise<string> {
  const failed = (reason: string, details: ErrorDetails = {}): SignetError =>
    new SignetError("network", `cannot fetch "${shown}": ${reason}`, details);
  const http = await import("../../host/http.ts");
  try {
    const accept = "application/x-pem-file, */*";
    const headers = { accept, ...(authorization === undefined ? {} : { authorization }) };
    const { status, reason, text } = await whileWaiting(`waiting for ${shown}`, () =>
      http.download(url, headers, timeoutMs),
    );
    if (status === 200) return text;
    throw failed(`${status} ${reason}`.trimEnd());
  } catch (error) {
    if (error instanceof SignetError) throw error;
    if (error instanceof http.AnswerTooLarge) {
      throw failed("the answer is too large", {
        hint: "is this the address of a certificate? the controller serves it at /v1/cert.pem",
      });
    }
    const proxy = environmentProxy(url);
    const way = proxy === undefined ? "" : `, through ${proxyWords(proxy)}`;
    throw failed(networkReason(error, timeoutMs) + way, { cause: error });
  }
}
