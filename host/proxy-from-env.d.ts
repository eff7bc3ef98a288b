declare module "proxy-from-env" {
  /** The proxy for an address according to the environment; empty if there is none. */
  export function getProxyForUrl(url: string): string;
}
