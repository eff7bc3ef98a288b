// A watch of the API server on Secrets, whose values tell when a change has arrived.
import { get } from "node:https";
import type { ControlPlane, KubeObject } from "../test/cluster/controlplane.ts";

/** Calls `onSecret` for the Secrets with a label, and for each change, until it is stopped. */
export async function watchSecrets(
  plane: ControlPlane,
  labelSelector: string,
  onSecret: (secret: KubeObject, isDeleted: boolean) => void,
): Promise<() => void> {
  const path = `/api/v1/secrets?labelSelector=${encodeURIComponent(labelSelector)}`;
  const stopped = new AbortController();
  const list = async (): Promise<string> => {
    const { status, body, text } = await plane.request("GET", path);
    if (status !== 200) throw new Error(`listing Secrets: ${text}`);
    for (const secret of body.items ?? []) onSecret(secret, false);
    return body.metadata?.resourceVersion ?? "";
  };
  const read = (from: string): Promise<void> => {
    const options = {
      ...{ host: plane.host, port: plane.port, path: `${path}&watch=1&resourceVersion=${from}` },
      ...{ ca: plane.certificateAuthority, signal: stopped.signal, agent: false },
      headers: { authorization: `Bearer ${plane.adminToken}`, accept: "application/json" },
    };
    return new Promise((done) => {
      get(options, (response) => {
        let rest = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) {
            const { type, object } = JSON.parse(line) as { type: string; object: KubeObject };
            if (["ADDED", "MODIFIED", "DELETED"].includes(type))
              onSecret(object, type === "DELETED");
          }
        });
        response.on("error", done).on("close", done);
      }).on("error", () => {
        done();
      });
    });
  };
  let from = await list();
  const follow = async (): Promise<void> => {
    for (;;) {
      await read(from);
      if (stopped.signal.aborted) return;
      from = await list();
    }
  };
  follow().catch(() => undefined);
  return () => {
    stopped.abort();
  };
}
