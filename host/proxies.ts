// Chooses the proxy for a request from the environment, as Go programs do.

import { BlockList, isIP, isIPv6 } from "node:net";
import { SignetError } from "../shared/errors.ts";

export interface Proxy {
  readonly url: URL;
  /** Where it was set, such as `HTTPS_PROXY`. */
  readonly source: string;
}

const PORTS: Record<string, string> = { "http:": "80", "https:": "443" };

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/**
 * The proxy that HTTPS_PROXY or HTTP_PROXY names for an address, if any. Local addresses are never
 * proxied. NO_PROXY lists hosts, domains, IP addresses and CIDR blocks.
 * @throws SignetError usage
 */
export function environmentProxy(url: URL): Proxy | undefined {
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const variable = [name.toLowerCase(), name].find((each) => Boolean(process.env[each]));
  if (variable === undefined || isDirect(url)) return undefined;
  return namedProxy(process.env[variable] ?? "", variable);
}

/**
 * Parses the address of a proxy; without a scheme, it is an HTTP proxy.
 * @throws SignetError usage
 */
export function namedProxy(address: string, source: string): Proxy {
  for (const text of [address, `http://${address}`]) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || url.host === "") continue;
    if (/^(https?|socks5h?):$/.test(url.protocol)) return { url, source };
    throw new SignetError("usage", `${source} has the unsupported scheme "${url.protocol}"`, {
      hint: "expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT",
    });
  }
  throw new SignetError("usage", `${source} is not a valid proxy address`, {
    hint: "expected an address such as http://proxy.example.org:3128",
  });
}

/** How messages name a proxy: without its credentials. */
export function proxyWords({ url, source }: Proxy): string {
  return `the proxy ${url.protocol}//${url.host} from ${source}`;
}

/** Whether the host is one of this machine or one of NO_PROXY. */
function isDirect(url: URL): boolean {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port || (PORTS[url.protocol] ?? "");
  if (host === "localhost" || isIn(LOOPBACK, host)) return true;
  const rules = process.env["no_proxy"] || process.env["NO_PROXY"] || "";
  return rules.split(",").some((rule) => matches(rule.trim().toLowerCase(), host, port));
}

function isIn(list: BlockList, host: string): boolean {
  return isIP(host) !== 0 && list.check(host, isIPv6(host) ? "ipv6" : "ipv4");
}

function matches(rule: string, host: string, port: string): boolean {
  if (rule === "*") return true;
  const [, block = "", bits = ""] = /^(.*)\/(\d{1,3})$/.exec(rule) ?? [];
  if (isIP(block) !== 0) return isInBlock(block, Number(bits), host);
  if (isIP(rule) !== 0) return isInBlock(rule, isIPv6(rule) ? 128 : 32, host);
  const parts = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(rule);
  const named = parts?.[1] ?? parts?.[2] ?? "";
  if (named === "" || (parts?.[3] || port) !== port) return false;
  if (isIP(named) !== 0) return isInBlock(named, isIPv6(named) ? 128 : 32, host);
  if (isIP(host) !== 0) return false;
  const domain = named.replace(/^\*(?=\.)/, "");
  return domain.startsWith(".")
    ? host.endsWith(domain)
    : host === domain || host.endsWith(`.${domain}`);
}

function isInBlock(block: string, bits: number, host: string): boolean {
  const family = isIPv6(block) ? "ipv6" : "ipv4";
  if (bits > (family === "ipv6" ? 128 : 32) || (family === "ipv6" && !isIPv6(host))) return false;
  const list = new BlockList();
  list.addSubnet(block, bits, family);
  return isIn(list, host);
}
