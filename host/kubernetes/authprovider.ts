// The login method `auth-provider` with `oidc`, which predates plugins, as the Kubernetes library
// implements it. Loaded only for a user that has it.

import type { RequestOptions } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import type { Connection } from "./kubeconfig.ts";

/** The library stores refreshed tokens in these objects. */
const known = new WeakMap<Connection, KubeConfig>();

/** The value of the header `Authorization`. @throws Error, whose message may quote tokens */
export async function authorizationOf(connection: Connection): Promise<string> {
  const config = known.get(connection) ?? configOf(connection);
  known.set(connection, config);
  const options: RequestOptions = { headers: {} };
  await config.applyToHTTPSOptions(options);
  const { Authorization: value } = options.headers as Record<string, unknown>;
  if (typeof value !== "string") throw new Error("no token");
  return value;
}

function configOf({ user }: Connection): KubeConfig {
  const { authProvider } = user;
  if (authProvider === undefined) throw new Error("no auth-provider");
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    // The library connects to the issuer of the tokens, not to the cluster.
    { name: "cluster", server: "https://127.0.0.1", skipTLSVerify: false },
    { name: "user", authProvider: { ...authProvider, config: { ...authProvider.config } } },
  );
  return config;
}
