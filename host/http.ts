// Sends HTTP requests: proxies from the environment, size limits, redirects. Loaded only if a
// command uses the network.

import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { agentFor } from "./agents.ts";
import { errnoOf } from "./errno.ts";
import { environmentProxy } from "./proxies.ts";
import { machineRoots } from "./trust.ts";

export interface Answer {
  readonly status: number;
  /** The reason phrase, such as `Not Found`. */
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Responses of a cluster are small: a service, a SealedSecret. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** A PEM certificate is about 2 kB, and a file may have several. */
const MAX_DOWNLOAD_BYTES = 1024 * 1024;
const MAX_REDIRECTS = 10;

/** The response body exceeds the limit. */
export class AnswerTooLarge extends Error {}

export interface SendRules {
  readonly maxBytes?: number;
  /** The request may be sent twice. Default: true for a GET. */
  readonly isRepeatable?: boolean;
}

/** Sends one request. Rejects with Node's error if there is no response. */
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
      // The server closed a kept-alive connection just as we reused it. It may already have handled
      // the request, so only a repeatable request is sent again.
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

/** GETs an address and follows redirects. Credentials are sent only to the original origin. */
export async function download(
  address: URL,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Answer> {
  const signal = timeoutMs > 0 ? { signal: AbortSignal.timeout(timeoutMs) } : {};
  let url = address;
  for (let redirects = 0; ; redirects++) {
    const { authorization, ...others } = headers;
    const isSameOrigin = url.origin === address.origin && authorization !== undefined;
    const options = {
      headers: isSameOrigin ? { ...others, authorization } : others,
      agent: await agentFor(
        url,
        environmentProxy(url),
        url.protocol === "http:" ? {} : { ca: [...machineRoots()], allowPartialTrustChain: true },
      ),
      ...signal,
    };
    const answer = await send(url, options, undefined, { maxBytes: MAX_DOWNLOAD_BYTES });
    const { location } = answer.headers;
    if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
    const next = new URL(location, url);
    // Never redirect from HTTPS to HTTP.
    const isDowngrade = url.protocol === "https:" && next.protocol !== "https:";
    if (isDowngrade || !/^https?:$/.test(next.protocol) || redirects === MAX_REDIRECTS)
      return answer;
    url = next;
  }
}
