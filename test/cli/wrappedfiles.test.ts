// The drill with wrapped key Secrets of a repository, which a key service opens. The service speaks the
// protocol of transit; the real one is in test/cluster/wrappedkeys.test.ts.
// SPEC.md, "Wrapped keys", "Recovery".

import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Transit } from "../../host/kms/transit.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { formatWrappedKeySecret, wrapKey } from "../../shared/keys/wrappedkey.ts";
import { KEYS, Workplace } from "./workplace.ts";

const CERTIFICATE = readFileSync("test/fixtures/cert.pem", "utf8");
const { fingerprint } = parseCertificate(CERTIFICATE);
const NOW = new Date("2026-11-24T12:00:00Z");
const TOKEN = "a-token";

let place: Workplace;
let server: Server;
let address: URL;
let isAway: boolean;

/** Encrypts nothing: what it binds, it gives back only with the same associated data. */
function startTransit(): Promise<Server> {
  const made = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const body = JSON.parse(text) as Record<string, string>;
      const bound = body["associated_data"] ?? "";
      const answer = (status: number, said: object): void => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(said));
      };
      if (isAway) answer(503, { errors: ["sealed"] });
      else if (request.headers["x-vault-token"] !== TOKEN) answer(403, { errors: ["denied"] });
      else if (request.url === "/v1/transit/encrypt/signet") {
        const hidden = JSON.stringify([body["plaintext"], bound]);
        const ciphertext = `vault:v1:${Buffer.from(hidden).toString("base64")}`;
        answer(200, { data: { ciphertext } });
      } else {
        const hidden = Buffer.from((body["ciphertext"] ?? "").slice(9), "base64").toString();
        const [plaintext, to] = JSON.parse(hidden) as [string, string];
        if (to === bound) answer(200, { data: { plaintext } });
        else answer(400, { errors: ["cipher: message authentication failed"] });
      }
    });
  });
  return new Promise((done) => {
    made.listen(0, "127.0.0.1", () => {
      done(made);
    });
  });
}

beforeEach(async () => {
  place = new Workplace();
  isAway = false;
  server = await startTransit();
  address = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  place.write("../token", TOKEN);
  await place.seal("dev", "db", { password: "hunter2", user: "admin" });
  await commit("key");
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
  place.remove();
});

/** Writes the key Secret as a backup in Git has it, wrapped for this name, and under that one. */
async function commit(wrappedFor: string, name = wrappedFor): Promise<void> {
  const service = new Transit({
    address,
    mount: "transit",
    key: "signet",
    namespace: "",
    login: { method: "token", file: join(place.folder, "../token") },
    caFile: undefined,
  });
  const context = { namespace: "kube-system", name: wrappedFor, fingerprint };
  const moment = { since: NOW, created: NOW };
  const wrapped = await wrapKey(readFileSync(KEYS.dev, "utf8"), context, service, moment);
  const parts = { certificatePem: CERTIFICATE, wrapped };
  const metadata = { namespace: "kube-system", name };
  const secret = formatWrappedKeySecret(parts, metadata, "active", {}, {});
  place.write("keys/dev/key.json", JSON.stringify(secret));
  place.write("keys/dev/README", "wrapped");
}

const drill = (...more: string[]): ReturnType<Workplace["signet"]> =>
  place.signet([
    ...["keys", "drill", "--cluster", "dev", "--wrapped-key", "keys/dev"],
    ...["--kms-provider", "transit", "--kms-address", address.href, "--kms-key", "signet"],
    ...["--kms-transit-login-file", "../token", ...more],
  ]);

describe("a drill with wrapped keys", () => {
  it("opens every value through the service, and shows none", async () => {
    const { status, stdout, stderr } = await drill();
    expect([status, stdout, stderr]).toEqual([
      0,
      "dev: 2 of 2 values in 1 SealedSecret can be recovered, with 1 of 1 key\n",
      "",
    ]);
    expect(stdout + stderr).not.toMatch(/hunter2|PRIVATE KEY/);
  });

  it("names what would be lost where a key was wrapped for another Secret", async () => {
    await commit("key", "copy");
    const { status, stdout } = await drill();
    expect([status, stdout]).toEqual([3, expect.stringContaining("0 of 2 values")]);
    expect(stdout).toContain(`transit at ${address.origin} (transit/signet): `);
  });

  it("does not take a service that is away for a loss", async () => {
    isAway = true;
    const { status, stdout } = await drill();
    expect([status, stdout]).toEqual([1, ""]);
  });

  it("says what is missing", async () => {
    const none = await place.signet(["keys", "drill", "--wrapped-key", "keys/dev"]);
    expect([none.status, none.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining("--wrapped-key requires --kms-provider"),
    ]);
    const half = await place.signet([
      ...["keys", "drill", "--wrapped-key", "keys/dev", "--kms-provider", "transit"],
    ]);
    expect(half.stderr).toContain("--kms-address is required for transit");
    expect(half.status).not.toBe(0);
  });
});
