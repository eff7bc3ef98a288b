// The agent that opens connections for requests: directly, or through a proxy.

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent, type AgentOptions } from "node:https";
import { SocksProxyAgent } from "socks-proxy-agent";
import type { Proxy } from "./proxies.ts";

/** Returns an agent for the scheme of `url`. */
export async function agentFor(
  url: URL,
  proxy: Proxy | undefined,
  options: AgentOptions,
): Promise<HttpAgent> {
  const isPlain = url.protocol === "http:";
  if (proxy === undefined) return isPlain ? new HttpAgent(options) : new HttpsAgent(options);
  if (proxy.url.protocol.startsWith("socks5")) {
    // Go programs let the proxy resolve the host name, which this library calls socks5h.
    return new SocksProxyAgent(proxy.url.href.replace(/^socks5h?:/, "socks5h:"), options);
  }
  const { HttpProxyAgent, HttpsProxyAgent } = await import("hpagent");
  return new (isPlain ? HttpProxyAgent : HttpsProxyAgent)({ ...options, proxy: proxy.url.href });
}
