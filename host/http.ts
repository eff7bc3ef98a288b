// One request over HTTP, through the proxy that the environment names; sizes; redirects. Loaded
// only where something is asked over the network.

import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { getProxyForUrl } from "proxy-from-env";
import { errnoOf } from "./errno.ts";

export interface Answer {
  readonly status: number;
  /** As HTTP/1.1 names it, such as `Not Found`. */
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** What a cluster is asked for is small: a service, a SealedSecret. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** A PEM certificate is 2 kB; there may be a few. */
const MAX_DOWNLOAD_BYTES = 1024 * 1024;
const MAX_REDIRECTS = 10;

/** The body of an answer is larger than anything that was asked for. */
export class AnswerTooLarge extends Error {}

/** The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY say for an address, if any. */
export function proxyFor(url: URL): string | undefined {
  return getProxyForUrl(url.href) || undefined;
}

export interface SendRules {
  readonly maxBytes?: number;
  /** It changes nothing: a GET does not, and a caller may know it of its POST. */
  readonly isRepeatable?: boolean;
}

/** Sends one request. Rejects with what Node says where there is no answer. */
export function send(
  url: URL,
  options: RequestOptions,
  body?: string,
  rules: SendRules = {},
): Promise<Answer> {
  const { maxBytes = MAX_ANSWER_BYTES, isRepeatable = (options.method ?? "GET") === "GET" } = rules;
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "http:" ? httpRequest : httpsRequest)(url, options);
    request.on("error", (error) => {
      // A connection that was kept, and that the server closed at this very moment. It may have done
      // what was asked before: what would not be the same a second time is not asked again.
      const wasClosed = request.reusedSocket && errnoOf(error) === "ECONNRESET";
      if (wasClosed && isRepeatable) resolve(send(url, options, body, rules));
      else reject(error);
    });
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > maxBytes) request.destroy(new AnswerTooLarge());
      });
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode: status = 0, statusMessage: reason = "", headers } = response;
        resolve({ status, reason, headers, text: Buffer.concat(chunks).toString() });
      });
    });
    request.end(body);
  });
}

/** GETs an address, wherever it leads; the credentials go to the host that was named alone. */
export async function download(
  address: URL,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Answer> {
  const signal = timeoutMs > 0 ? { signal: AbortSignal.timeout(timeoutMs) } : {};
  let url = address;
  for (let redirects = 0; ; redirects++) {
    const { authorization, ...others } = headers;
    const isHome = url.origin === address.origin && authorization !== undefined;
    const options = {
      headers: isHome ? { ...others, authorization } : others,
      ...(await agentFor(url)),
      ...signal,
    };
    const answer = await send(url, options, undefined, { maxBytes: MAX_DOWNLOAD_BYTES });
    const { location } = answer.headers;
    if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
    const next = new URL(location, url);
    // What began safely does not go on in the open.
    const worse = url.protocol === "https:" && next.protocol !== "https:";
    if (worse || !/^https?:$/.test(next.protocol) || redirects === MAX_REDIRECTS) return answer;
    url = next;
  }
}

async function agentFor(url: URL): Promise<Pick<RequestOptions, "agent">> {
  const proxy = proxyFor(url);
  if (proxy === undefined) return {};
  const { HttpProxyAgent, HttpsProxyAgent } = await import("hpagent");
  return { agent: new (url.protocol === "http:" ? HttpProxyAgent : HttpsProxyAgent)({ proxy }) };
}
