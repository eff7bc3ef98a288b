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
  /** Whether a plugin printed them, so that it can be run again if they are refused. */
  readonly isPlugins: boolean;
}

/** Reads credential files at each call, so that rotated credentials are used without a restart. */
export class Login {
  readonly #connection: Connection;
  readonly #pluginLimitMs: number | undefined;
  /**
   * The last complete client certificate and key, for the time in which the files are being
   * replaced.
   */
  #pair: KeyPair | undefined;
  /** The last token in the file, for the time in which the file is being written. */
  #fileToken = "";

  constructor(connection: Connection, pluginLimitMs: number | undefined) {
    this.#connection = connection;
    this.#pluginLimitMs = pluginLimitMs;
  }

  /**
   * @throws SignetError network, io, usage: which login failed; the message contains nothing secret
   */
  async credentials(): Promise<Credentials> {
    const { user, server } = this.#connection;
    const impersonation = this.#sendable(impersonationOf(user), "the user to impersonate");
    // Anyone on the network path can read requests without TLS, so, like kubectl, send no
    // credentials then, except to a proxy on this machine, such as kubectl's own.
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

  /** The kubeconfig's own client certificate and key; the last complete ones while they change. */
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
        hint: `it belongs to ${words}`,
      });
    }
  }

  /** The header's value according to the kubeconfig itself; empty if it sets none. */
  #ownAuthorization(): string {
    const { token, tokenFile, username, password } = this.#connection.user;
    if (tokenFile !== "") return `Bearer ${this.#tokenOf(tokenFile, token)}`;
    if (token !== "") return `Bearer ${token}`;
    if (username === "" && password === "") return "";
    return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  }

  /** The token in the file, else the last one in the file, else the kubeconfig's own. */
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

  /** A login method that predates plugins, which the Kubernetes library supports. */
  async #provided(): Promise<string> {
    const name = this.#connection.user.authProvider?.name ?? "";
    if (name !== "oidc") {
      throw new SignetError("usage", `unsupported auth-provider ${JSON.stringify(name)}`, {
        hint: `use a login plugin (exec) instead, for ${this.#connection.words}`,
      });
    }
    const { authorizationOf } = await import("./authprovider.ts");
    try {
      return await authorizationOf(this.#connection);
    } catch {
      // The reason may quote tokens.
      throw new SignetError("network", "the auth-provider oidc did not return a token", {
        hint: `log in again, or use a login plugin (exec), for ${this.#connection.words}`,
      });
    }
  }

  #authorization(value: string): OutgoingHttpHeaders {
    return value === "" ? {} : this.#sendable({ authorization: value }, "the token");
  }

  /**
   * Returns the headers with values that Node sends as UTF-8, as Go does: each byte as a character.
   */
  #sendable(headers: Record<string, string | string[]>, what: string): OutgoingHttpHeaders {
    const sendable = (value: string): string => {
      if (!/[\0-\x08\x0a-\x1f\x7f]/.test(value)) return Buffer.from(value).toString("latin1");
      throw new SignetError("usage", `${what} has a line break or another control character`, {
        hint: `it belongs to ${this.#connection.words}`,
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

/** Escapes a key of the extra fields for the name of a header; the API server decodes it. */
function escaped(key: string): string {
  return [...Buffer.from(key)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) => {
      if (/[!#$&'*+\-.^_`|~\w]/.test(character)) return character;
      return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}
