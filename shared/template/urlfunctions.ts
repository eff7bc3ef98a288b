// Implements urlParse and urlJoin, and percent-encoding.
import { fn, type Table } from "./signature.ts";
import { type Bytes, Dict, Fault } from "./value.ts";

type Mode = "path" | "host" | "zone" | "user" | "query" | "fragment";

const BASE = "-._~0-9A-Za-z";
/** The characters that each part of a URL leaves unescaped. */
const KEPT: Readonly<Record<Mode, RegExp>> = {
  path: new RegExp(`[${BASE}$&+,/:;=@]`),
  host: new RegExp(`[${BASE}!"$&'()*+,:;<=>[\\]]`),
  zone: new RegExp(`[${BASE}!"$&'()*+,:;<=>[\\]]`),
  user: new RegExp(`[${BASE}$&+,;=]`),
  query: new RegExp(`[${BASE}]`),
  fragment: new RegExp(`[${BASE}!$&()*+,/:;=?@]`),
};

function escape(text: Bytes, mode: Mode): Bytes {
  return text.replace(/[\0-\xff]/g, (char) => {
    if (KEPT[mode].test(char)) return char;
    if (char === " " && mode === "query") return "+";
    return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

/** As Go's url.QueryEscape. */
export function escapeQuery(text: Bytes): Bytes {
  return escape(text, "query");
}

const bad = (): Fault => new Fault("not a URL");

function unescape(text: Bytes, mode: Mode): Bytes {
  const strict = mode === "host" || mode === "zone";
  return text.replace(/%([0-9A-Fa-f]{2})?|[\0-\x7f]/g, (found, digits?: string) => {
    if (!found.startsWith("%")) {
      if (strict && !KEPT[mode].test(found)) throw bad();
      return found;
    }
    if (digits === undefined) throw bad();
    const code = parseInt(digits, 16);
    const char = String.fromCharCode(code);
    if (mode === "host" && code < 0x80 && digits !== "25") throw bad();
    if (mode === "zone" && digits !== "25" && char !== " " && !KEPT.host.test(char)) throw bad();
    return char;
  });
}

interface Url {
  scheme: Bytes;
  opaque: Bytes;
  user: { name: Bytes; password: Bytes | undefined } | undefined;
  host: Bytes;
  path: Bytes;
  query: Bytes;
  fragment: Bytes;
}

function cutAt(text: Bytes, mark: string): [Bytes, Bytes] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + mark.length)];
}

/** As Go's url.Parse, without the parts that sprig does not use. @throws Fault */
function parseUrl(source: Bytes): Url {
  const [whole, rawFragment] = cutAt(source, "#");
  const url: Url = {
    scheme: "",
    opaque: "",
    user: undefined,
    host: "",
    path: "",
    query: "",
    fragment: "",
  };
  if (/[\0-\x1f\x7f]/.test(whole)) throw bad();
  if (whole === "*") url.path = "*";
  else {
    if (whole.startsWith(":")) throw bad();
    const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(whole)?.[1];
    url.scheme = (scheme ?? "").toLowerCase();
    const afterScheme = scheme === undefined ? whole : whole.slice(scheme.length + 1);
    let rest: Bytes;
    [rest, url.query] = cutAt(afterScheme, "?");
    if (!rest.startsWith("/")) {
      if (url.scheme !== "") {
        url.opaque = rest;
        url.fragment = unescape(rawFragment, "fragment");
        return url;
      }
      if (cutAt(rest, "/")[0].includes(":")) throw bad();
    }
    if (rest.startsWith("//") && (url.scheme !== "" || !rest.startsWith("///"))) {
      const slash = rest.indexOf("/", 2);
      const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
      rest = slash < 0 ? "" : rest.slice(slash);
      parseAuthority(url, authority);
    }
    url.path = unescape(rest, "path");
  }
  url.fragment = unescape(rawFragment, "fragment");
  return url;
}

function parseAuthority(url: Url, authority: Bytes): void {
  const at = authority.lastIndexOf("@");
  url.host = parseHost(authority.slice(at + 1));
  if (at < 0) return;
  const user = authority.slice(0, at);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user)) throw bad();
  const colon = user.indexOf(":");
  url.user = {
    name: unescape(colon < 0 ? user : user.slice(0, colon), "user"),
    password: colon < 0 ? undefined : unescape(user.slice(colon + 1), "user"),
  };
}

const isPort = (text: Bytes): boolean => /^(:[0-9]*)?$/.test(text);

function parseHost(host: Bytes): Bytes {
  const open = host.lastIndexOf("[");
  if (open > 0) throw bad();
  if (open === 0) {
    const close = host.lastIndexOf("]");
    if (close < 0 || !isPort(host.slice(close + 1))) throw bad();
    const name = host.slice(1, close);
    const zone = name.indexOf("%25");
    const address =
      zone < 0
        ? unescape(name, "host")
        : unescape(name.slice(0, zone), "host") + unescape(name.slice(zone), "zone");
    if (!isIpv6(address)) throw bad();
    return `[${address}]${unescape(host.slice(close + 1), "host")}`;
  }
  const colon = host.lastIndexOf(":");
  if (colon >= 0 && !isPort(host.slice(colon))) throw bad();
  return unescape(host, "host");
}

function isIpv6(text: Bytes): boolean {
  const [address, ...zone] = text.split("%");
  if (address === undefined || (zone.length > 0 && zone.join("%") === "")) return false;
  const halves = address.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1);
  let count = groups.length;
  if (last?.includes(".") === true) {
    const octet = "(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
    if (!new RegExp(`^${octet}(\\.${octet}){3}$`).test(last)) return false;
    groups.pop();
    count += 1;
  }
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return false;
  return halves.length === 2 ? count < 8 : count === 8;
}

function userText(user: Url["user"]): Bytes {
  if (user === undefined) return "";
  const password = user.password === undefined ? "" : `:${escape(user.password, "user")}`;
  return escape(user.name, "user") + password;
}

function hostname(host: Bytes): Bytes {
  const colon = host.lastIndexOf(":");
  const name = colon >= 0 && isPort(host.slice(colon)) ? host.slice(0, colon) : host;
  return name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
}

function part(dict: Dict, name: string): Bytes {
  if (!dict.entries.has(name)) return "";
  const value = dict.entries.get(name);
  if (typeof value !== "string") throw new Fault("a part of the URL is not text");
  return value;
}

/** As Go's url.URL.String, for the parts that sprig sets. */
function joinUrl(dict: Dict): Bytes {
  const [scheme, host, opaque] = [part(dict, "scheme"), part(dict, "host"), part(dict, "opaque")];
  const [path, query, fragment] = [part(dict, "path"), part(dict, "query"), part(dict, "fragment")];
  const userinfo = part(dict, "userinfo");
  const user = userinfo === "" ? undefined : parseUrl(`proto://${userinfo}@host`).user;
  let out = scheme === "" ? "" : `${scheme}:`;
  if (opaque !== "") out += opaque;
  else {
    if (host !== "" || user !== undefined || (scheme !== "" && path !== "")) out += "//";
    if (user !== undefined) out += `${userText(user)}@`;
    out += escape(host, "host");
    const escaped = path === "*" ? "*" : escape(path, "path");
    if (escaped !== "" && !escaped.startsWith("/") && host !== "") out += "/";
    if (out === "" && cutAt(escaped, "/")[0].includes(":")) out += "./";
    out += escaped;
  }
  if (query !== "") out += `?${query}`;
  if (fragment !== "") out += `#${escape(fragment, "fragment")}`;
  return out;
}

export const URL_FUNCTIONS: Table = {
  urlParse: fn(["string"], (_, text) => {
    const url = parseUrl(text);
    return new Dict(
      new Map([
        ["scheme", url.scheme],
        ["host", url.host],
        ["hostname", hostname(url.host)],
        ["path", url.path],
        ["query", url.query],
        ["opaque", url.opaque],
        ["fragment", url.fragment],
        ["userinfo", userText(url.user)],
      ]),
    );
  }),
  urlJoin: fn(["dict"], (_, dict) => joinUrl(dict)),
};
