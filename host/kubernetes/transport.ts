// How requests reach an API server: its address, headers and TLS, over connections that may be kept
// alive.

import type { Agent, OutgoingHttpHeaders } from "node:http";
import type { AgentOptions, RequestOptions } from "node:https";
import { isDeepStrictEqual } from "node:util";
import { SignetError } from "../../shared/errors.ts";
import { agentFor } from "../agents.ts";
import { certificatesIn, machineRoots } from "../trust.ts";
import type { Connection } from "./kubeconfig.ts";
import { fileOr } from "./kubeconfigfiles.ts";
import { type Credentials, Login } from "./login.ts";
import { forgetCredentials } from "./loginplugin.ts";

/** The name of an agent's connections, which are all to the same server, with the same options. */
const SERVER = "server";

interface TransportOptions {
  /** Whether connections are kept alive for the next request. */
  readonly keepsConnections: boolean;
  /** Time limit for a login plugin that runs unattended. */
  readonly pluginLimitMs?: number;
}

/** The requests of one program to one API server. */
export class Transport {
  readonly #connection: Connection;
  readonly #keepsConnections: boolean;
  readonly #login: Login;
  #agent: Agent | undefined;
  /** The options that the agent was created with. */
  #made: AgentOptions | undefined;
  #isPlugins = false;
  /** The authorities last read: the text, and the valid certificates in it, which take long to find. */
  #authoritiesIn: { readonly text: string; readonly certificates: string[] } | undefined;

  constructor(connection: Connection, { keepsConnections, pluginLimitMs }: TransportOptions) {
    this.#connection = connection;
    this.#keepsConnections = keepsConnections;
    this.#login = new Login(connection, pluginLimitMs);
  }

  /**
   * Returns the URL of a path of the API server, and the options for a request to it. Logs in as
   * the kubeconfig says, and re-reads certificates that may have been replaced.
   * @throws SignetError network, io, usage
   */
  async prepare(path: string): Promise<{ readonly url: URL; readonly options: RequestOptions }> {
    const credentials = await this.#login.credentials();
    this.#isPlugins = credentials.isPlugins;
    const agent = await this.#agentWith(credentials);
    const { server } = this.#connection;
    const url = new URL(server.href.replace(/\/+$/, "") + path);
    const headers: OutgoingHttpHeaders = { ...credentials.headers };
    return { url, options: { agent, headers } };
  }

  /** Call this after a 401 response: a plugin's credentials may have been revoked. */
  refused(): void {
    if (this.#isPlugins) forgetCredentials(this.#connection);
  }

  /** Closes every connection, even if a request is using it. */
  close(): void {
    this.#agent?.destroy();
  }

  async #agentWith(credentials: Credentials): Promise<Agent> {
    try {
      const wanted = this.#optionsWith(credentials);
      if (this.#agent !== undefined && isDeepStrictEqual(wanted, this.#made)) return this.#agent;
      const { server, proxy } = this.#connection;
      const agent = await agentFor(server, proxy, wanted);
      // All its connections are alike, and to compute a name for each request takes long.
      agent.getName = () => SERVER;
      if (this.#agent !== undefined) retire(this.#agent);
      [this.#agent, this.#made] = [agent, wanted];
    } catch (error) {
      // Someone may be replacing the files right now.
      if (this.#agent === undefined) throw error;
    }
    return this.#agent;
  }

  #optionsWith({ certificate, key }: Credentials): AgentOptions {
    const { server, cluster } = this.#connection;
    const keepAlive = this.#keepsConnections;
    if (server.protocol === "http:") return { keepAlive };
    return {
      keepAlive,
      // As in Go, an authority need not be self-signed.
      allowPartialTrustChain: true,
      ...(certificate === "" ? {} : { cert: certificate, key }),
      ...(cluster.tlsServerName === "" ? {} : { servername: cluster.tlsServerName }),
      ...(cluster.insecureSkipTlsVerify
        ? { rejectUnauthorized: false }
        : { rejectUnauthorized: true, ca: this.#authorities() }),
    };
  }

  #authorities(): string[] {
    const { certificateAuthority: file, certificateAuthorityData: data } = this.#connection.cluster;
    if (file === "" && data === "") return [...machineRoots()];
    const text = fileOr(data, file);
    if (this.#authoritiesIn?.text !== text) {
      this.#authoritiesIn = { text, certificates: certificatesIn(text) };
    }
    const { certificates } = this.#authoritiesIn;
    if (certificates.length > 0) return certificates;
    throw new SignetError("io", "the certificate authority contains no valid certificate", {
      ...(file === "" ? {} : { place: { file } }),
      hint: `it belongs to ${this.#connection.words}`,
    });
  }
}

/** Lets an agent's requests finish, and then closes its connections. */
function retire(agent: Agent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}
