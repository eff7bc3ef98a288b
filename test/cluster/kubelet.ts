// A kubelet as far as port-forwards need one: a Node that leads to a server of this process, and a
// Pod on it. The API server between them is real.
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { type Forwarder, forwardAt } from "../cli/forwarder.ts";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { requireBed } from "./program.ts";

export interface Kubelet extends Forwarder {
  readonly stop: () => Promise<void>;
}

/** Forwards to `port` of the bed for every pod of the node. */
export async function startKubelet(
  plane: ControlPlane,
  { node, port }: { node: string; port: () => number },
): Promise<Kubelet> {
  const host = requireBed("a kubelet that the API server reaches");
  const { certificatePem: cert, privateKeyPem: key } = await createSealingKey({
    bits: 2048,
    notBefore: new Date(Date.now() - 60_000),
    validForMs: 86_400_000,
    commonName: host,
  });
  const server = createServer({ cert, key }, (_request, response) => response.writeHead(404).end());
  const forwarder = forwardAt(server, () => ({ host, port: port() }));
  await new Promise<void>((done) => server.listen(0, host, done));
  const { port: own } = server.address() as AddressInfo;
  await plane.apply({ apiVersion: "v1", kind: "Node", metadata: { name: node } });
  const status = {
    addresses: [{ type: "InternalIP", address: host }],
    daemonEndpoints: { kubeletEndpoint: { Port: own } },
  };
  await plane.request("PATCH", `/api/v1/nodes/${node}/status`, { status }, MERGE);
  return {
    ...forwarder,
    stop: async () => {
      forwarder.close();
      server.closeAllConnections();
      await new Promise<void>((done) => {
        server.close(() => {
          done();
        });
      });
    },
  };
}

/** A ready Pod of the controller's Service on the node, with the port that the Service names. */
export async function placePod(
  plane: ControlPlane,
  { service, node, port, ip }: { service: KubeObject; node: string; port: number; ip: string },
): Promise<void> {
  const { namespace = "" } = service.metadata ?? {};
  const { selector } = service.spec as { selector: Record<string, string> };
  const name = `on-${node}`;
  await plane.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: selector },
    spec: {
      nodeName: node,
      containers: [
        { name: "controller", image: "none", ports: [{ name: "http", containerPort: port }] },
      ],
    },
  });
  const conditions = [{ type: "Ready", status: "True" }];
  const status = { phase: "Running", conditions, podIP: ip, podIPs: [{ ip }] };
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
  await plane.request("PATCH", path, { status }, MERGE);
}
