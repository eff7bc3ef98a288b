// The credentials of a kubeconfig's user as a request carries them: headers, and a client
// certificate.

import type { OutgoingHttpHeaders } from "node:http";
import { createSecureContext } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import { SignetError } from "../../shared/errors.ts";
import { certificatesIn } from "../trust.ts";
import type { Connection } from "./kubeconfig.ts";
import type { UserEntry } from "./kubeconfigentries.ts";
import { fileOr } from "./kubeconfigfiles.ts";
import { pluginCredentials } from "./loginplugin.ts";

/** A client certificate and its key, as PEM; both or none. */
interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Credentials extends KeyPair {
  readonly headers: OutgoingHttpHeaders;
  /** Whether a plugin printed them, so that a refusal makes it worth to run it again. */
  readonly isPlugins: boolean;
}

/** Reads what is in files at each call, so that rotated credentials are used without a restart. */
export class Login {
  readonly #connection: Connection;
  readonly #pluginLimitMs: number | undefined;
  /** The last client certificate that was whole, likewise for what somebody is replacing. */
  #pair: KeyPair | undefined;
  /** The last token of the file, for the moment in which somebody is writing it. */
  #fileToken = "";

  constructor(connection: Connection, pluginLimitMs: number | undefined) {
    this.#connection = connection;
    this.#pluginLimitMs = pluginLimitMs;
  }

  /** @throws SignetError network, io, usage: which login failed, without anything secret */
  async credentials(): Promise<Credentials> {
    const { user, server } = this.#connection;
    const impersonation = this.#sendable(impersonationOf(user), "the user to impersonate");
    // Whoever is on the way reads what is sent without TLS. kubectl sends no credentials then;
    // a proxy on this machine, such as kubectl's own, is asked with them.
    const isReadable = server.protocol === "http:" && !isLocal(server);
    if (isReadable) return { headers: impersonation, certificate: "", key: "", isPlugins: false };
    const pair = this.#ownPair();
    const own = this.#ownAuthorization();
    const isPlugins = user.exec !== undefined && own === "" && pair.certificate === "";
    if (isPlugins) {
      const printed = await pluginCredentials(this.#connection, this.#pluginLimitMs);
      const { token, certificate, key } = printed;
      if (certificate !== "") this.#checkPair({ certificate, key });
      return {
        headers: {
          ...impersonation,
          ...this.#authorization(token === "" ? "" : `Bearer ${token}`),
        },
        certificate,
        key,
        isPlugins,
      };
    }
    const provided = own === "" && user.authProvider !== undefined ? await this.#provided() : own;
    return { headers: { ...impersonation, ...this.#authorization(provided) }, ...pair, isPlugins };
  }

  /** The kubeconfig's own client certificate and key; the last whole ones during a change. */
  #ownPair(): KeyPair {
    const { user } = this.#connection;
    if (user.clientCertificate === "" && user.clientCertificateData === "") {
      return { certificate: "", key: "" };
    }
    try {
      const certificate = fileOr(user.clientCertificateData, user.clientCertificate);
      const pair = { certificate, key: fileOr(user.clientKeyData, user.clientKey) };
      if (!isDeepStrictEqual(pair, this.#pair)) this.#checkPair(pair);
      this.#pair = pair;
    } catch (error) {
      if (this.#pair === undefined) throw error;
    }
    return this.#pair;
  }

  #checkPair({ certificate, key }: KeyPair): void {
    try {
      if (certificatesIn(certificate).length === 0) throw new Error("no certificate");
      createSecureContext({ cert: certificate, key });
    } catch {
      const { words, user } = this.#connection;
      const file = user.clientCertificate;
      throw new SignetError("usage", "the client certificate or its key is invalid", {
        ...(file === "" ? {} : { place: { file } }),
        hint: `it is that of ${words}`,
      });
    }
  }

  /** The value of the header by what the kubeconfig itself says; empty if it says nothing. */
  #ownAuthorization(): string {
    const { token, tokenFile, username, password } = this.#connection.user;
    if (tokenFile !== "") return `Bearer ${this.#tokenOf(tokenFile, token)}`;
    if (token !== "") return `Bearer ${token}`;
    if (username === "" && password === "") return "";
    return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  }

  /** The token in the file, else the last one that was there, else the kubeconfig's own. */
  #tokenOf(file: string, otherwise: string): string {
    try {
      const token = fileOr("", file).trim();
      if (token === "") throw new SignetError("io", "the token file is empty", { place: { file } });
      this.#fileToken = token;
    } catch (error) {
      if (this.#fileToken === "" && otherwise === "") throw error;
    }
    return this.#fileToken || otherwise;
  }

  /** A login of before plugins, which the Kubernetes library knows. */
  async #provided(): Promise<string> {
    const name = this.#connection.user.authProvider?.name ?? "";
    if (name !== "oidc") {
      throw new SignetError("usage", `kubectl knows no auth-provider ${JSON.stringify(name)}`, {
        hint: `use a login plugin (exec) instead; it is for ${this.#connection.words}`,
      });
    }
    const { authorizationOf } = await import("./authprovider.ts");
    try {
      return await authorizationOf(this.#connection);
    } catch {
      // The reason may quote tokens.
      throw new SignetError("network", "the auth-provider oidc gave no token", {
        hint: `log in again, or use a login plugin (exec); it is for ${this.#connection.words}`,
      });
    }
  }

  #authorization(value: string): OutgoingHttpHeaders {
    return value === "" ? {} : this.#sendable({ authorization: value }, "the token");
  }

  /** The headers with values that Node sends as UTF-8, as Go does: each byte as a character. */
  #sendable(headers: Record<string, string | string[]>, what: string): OutgoingHttpHeaders {
    const sendable = (value: string): string => {
      if (!/[\0-\x08\x0a-\x1f\x7f]/.test(value)) return Buffer.from(value).toString("latin1");
      throw new SignetError("usage", `${what} has a line break or another control character`, {
        hint: `it is that of ${this.#connection.words}`,
      });
    };
    const entries = Object.entries(headers).map(([name, value]) => {
      return [name, Array.isArray(value) ? value.map(sendable) : sendable(value)] as const;
    });
    return Object.fromEntries(entries);
  }
}

function isLocal({ hostname }: URL): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/**
 * Headers that impersonate a user; without them, a request would use the account's own permissions.
 */
function impersonationOf(user: UserEntry): Record<string, string | string[]> {
  const { as, asUid, asGroups, asUserExtra } = user;
  if (as === "") return {};
  const extra = [...asUserExtra]
    .filter(([, values]) => values.length > 0)
    .map(([name, values]) => [`impersonate-extra-${escaped(name)}`, [...values]] as const);
  return {
    "impersonate-user": as,
    ...(asUid === "" ? {} : { "impersonate-uid": asUid }),
    ...(asGroups.length === 0 ? {} : { "impersonate-group": [...asGroups] }),
    ...Object.fromEntries(extra),
  };
}

/** A key of the extra fields in the name of a header, which the API server decodes. */
function escaped(key: string): string {
  return [...Buffer.from(key)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) => {
      if (/[!#$&'*+\-.^_`|~\w]/.test(character)) return character;
      return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}
