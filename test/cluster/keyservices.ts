// Real key services of the test bed: OpenBao's transit engine, a KMS v2 plugin, AWS KMS (local-kms).
import { randomBytes } from "node:crypto";
import { appendFile, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { partPath } from "../parts/parts.ts";
import { freePort, type Program, startProgram, untilReady } from "./program.ts";

/** A key service that runs, and can be taken away and brought back as it was. */
export interface RunningService {
  /** The controller's flags for it. */
  readonly flags: readonly string[];
  /** The environment that the controller needs for it. */
  readonly env: Readonly<Record<string, string>>;
  /** From now on it wraps with another version of the key; the former ones still open. */
  rotate: () => Promise<void>;
  /** Whether a wrapped key says which version wrapped it. */
  readonly tellsVersion: boolean;
  /** Makes it stop answering. */
  pause: () => Promise<void>;
  resume: () => Promise<void>;
  stop: () => Promise<void>;
}

const HOST = "127.0.0.1";

async function scratch(): Promise<string> {
  return mkdtemp(join(tmpdir(), "kube-signet-kms-"));
}

const newKey = (): string => `${randomBytes(32).toString("hex")}\n`;

/** The plugin of test/parts/kmsplugin. */
export async function startKmsPlugin(): Promise<RunningService> {
  const folder = await scratch();
  const socket = join(folder, "kms.sock");
  const keys = join(folder, "keys");
  await writeFile(keys, newKey());
  let program: Program | undefined;
  const resume = async (): Promise<void> => {
    const started = startProgram([partPath("kms-plugin"), socket, keys]);
    program = started;
    const { connect } = await import("node:net");
    await untilReady("kms-plugin", started, () => {
      return new Promise((done) => {
        const line = connect(socket, () => {
          line.destroy();
          done(true);
        });
        line.once("error", () => {
          done(false);
        });
      });
    });
  };
  const pause = async (): Promise<void> => {
    await program?.stop("SIGTERM");
  };
  await resume();
  return {
    flags: ["--kms-provider=kmsv2", `--kms-socket=${socket}`],
    env: {},
    tellsVersion: true,
    rotate: () => appendFile(keys, newKey()),
    pause,
    resume,
    stop: pause,
  };
}

/** What the administrator of the key service asks of it. */
export interface OpenBao extends RunningService {
  readonly address: string;
  /** The controller's flags for all but the login. */
  readonly place: readonly string[];
  /** A file of a token that may use the key and nothing else. */
  readonly tokenFile: string;
  /** @throws Error unless it succeeds */
  administer: (method: string, path: string, body?: object) => Promise<Record<string, unknown>>;
}

interface OpenBaoOptions {
  /** It speaks HTTPS only, with a certificate of an authority of its own. */
  readonly tls?: boolean;
  /** A namespace below the root, in which everything is. */
  readonly namespace?: string;
}

const ROOT_TOKEN = "root";
const POLICY = `
path "transit/encrypt/signet" { capabilities = ["update"] }
path "transit/decrypt/signet" { capabilities = ["update"] }
`;

/** One request to a server whose certificate is of the authority in `ca`. */
function ask(
  url: string,
  { method, headers, ca, body }: { method: string; headers: object; ca?: string; body?: string },
): Promise<{ status: number; text: string }> {
  return new Promise((done, fail) => {
    const send = url.startsWith("https:") ? httpsRequest : httpRequest;
    const options = { method, headers: { ...headers }, ...(ca === undefined ? {} : { ca }) };
    const request = send(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", fail);
      response.on("end", () => {
        done({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
      });
    });
    request.on("error", fail);
    request.end(body);
  });
}

/** OpenBao with a transit key `signet`, and a role that may encrypt and decrypt with it only. */
export async function startOpenBao({
  tls = false,
  namespace = "",
}: OpenBaoOptions = {}): Promise<OpenBao> {
  const port = await freePort(HOST);
  const address = `${tls ? "https" : "http"}://${HOST}:${port}`;
  const folder = await scratch();
  const caFile = join(folder, "vault-ca.pem");
  const program = startProgram([
    partPath("openbao"),
    ...["server", "-dev", "-dev-no-store-token", `-dev-root-token-id=${ROOT_TOKEN}`],
    `-dev-listen-address=${HOST}:${port}`,
    ...(tls ? ["-dev-tls", `-dev-tls-cert-dir=${folder}`] : []),
  ]);
  const trust = async (): Promise<{ ca?: string }> =>
    tls ? { ca: await readFile(caFile, "utf8") } : {};
  await untilReady("openbao", program, async () => {
    const health = { method: "GET", headers: {}, ...(await trust()) };
    return (await ask(`${address}/v1/sys/health`, health)).status === 200;
  });
  const administerIn = async (
    place: string,
    method: string,
    path: string,
    body?: object,
  ): Promise<Record<string, unknown>> => {
    const { status, text } = await ask(`${address}/v1/${path}`, {
      method,
      headers: {
        "x-vault-token": ROOT_TOKEN,
        "content-type": "application/json",
        ...(place === "" ? {} : { "x-vault-namespace": place }),
      },
      ...(await trust()),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
  };
  if (namespace !== "") await administerIn("", "POST", `sys/namespaces/${namespace}`, {});
  const administer: OpenBao["administer"] = (method, path, body) =>
    administerIn(namespace, method, path, body);
  await administer("POST", "sys/mounts/transit", { type: "transit" });
  await administer("POST", "transit/keys/signet", { type: "aes256-gcm96" });
  await administer("PUT", "sys/policies/acl/signet", { policy: POLICY });
  await administer("POST", "sys/auth/approle", { type: "approle" });
  await administer("POST", "auth/approle/role/signet", {
    token_policies: ["signet"],
    token_ttl: "1h",
  });
  const role = (await administer("GET", "auth/approle/role/signet/role-id")) as {
    data: { role_id: string };
  };
  const secret = (await administer("POST", "auth/approle/role/signet/secret-id")) as {
    data: { secret_id: string };
  };
  const token = (await administer("POST", "auth/token/create", { policies: ["signet"] })) as {
    auth: { client_token: string };
  };
  const [file, tokenFile] = [join(folder, "secret-id"), join(folder, "token")];
  await writeFile(file, secret.data.secret_id, { mode: 0o600 });
  await writeFile(tokenFile, `${token.auth.client_token}\n`, { mode: 0o600 });
  const place = [
    ...["--kms-provider=transit", `--kms-address=${address}`, "--kms-key=signet"],
    ...(tls ? [`--kms-ca-file=${caFile}`] : []),
    ...(namespace === "" ? [] : [`--kms-transit-namespace=${namespace}`]),
  ];
  return {
    address,
    place,
    tokenFile,
    administer,
    flags: [
      ...place,
      ...["--kms-transit-login=approle", `--kms-transit-role=${role.data.role_id}`],
      `--kms-transit-login-file=${file}`,
    ],
    env: {},
    tellsVersion: true,
    rotate: async () => {
      await administer("POST", "transit/keys/signet/rotate");
    },
    // Its keys are in memory only.
    pause: () => {
      program.kill("SIGSTOP");
      return Promise.resolve();
    },
    resume: () => {
      program.kill("SIGCONT");
      return Promise.resolve();
    },
    stop: async () => {
      program.kill("SIGCONT");
      await program.stop("SIGKILL");
    },
  };
}

const AWS_ACCOUNT = "111122223333";
const AWS_REGION = "eu-central-1";
const AWS_KEY = "bc436485-5092-42b8-92a3-0aa8b93536dc";

/** AWS KMS as local-kms has it, with one symmetric key. It listens on all addresses of the bed. */
async function startAwsKms(): Promise<RunningService> {
  const folder = await scratch();
  const port = await freePort(HOST);
  const address = `http://${HOST}:${port}`;
  const seed = join(folder, "seed.yaml");
  await writeFile(
    seed,
    `Keys:\n  Symmetric:\n    Aes:\n      - Metadata:\n          KeyId: ${AWS_KEY}\n        BackingKeys:\n          - ${newKey()}`,
  );
  const environment = {
    PORT: String(port),
    KMS_ACCOUNT_ID: AWS_ACCOUNT,
    KMS_REGION: AWS_REGION,
    KMS_SEED_PATH: seed,
    KMS_DATA_PATH: folder,
  };
  let program: Program | undefined;
  const resume = async (): Promise<void> => {
    const started = startProgram([partPath("local-kms")], {
      env: { ...process.env, ...environment },
    });
    program = started;
    await untilReady("local-kms", started, async () => (await fetch(address)).status > 0);
  };
  const pause = async (): Promise<void> => {
    await program?.stop("SIGKILL");
  };
  await resume();
  return {
    flags: [
      ...["--kms-provider=aws", `--kms-region=${AWS_REGION}`, `--kms-address=${address}`],
      `--kms-key=arn:aws:kms:${AWS_REGION}:${AWS_ACCOUNT}:key/${AWS_KEY}`,
    ],
    env: { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "example" },
    tellsVersion: false,
    // Amazon rotates keys automatically, and keeps their names.
    rotate: () => Promise.resolve(),
    pause,
    resume,
    stop: pause,
  };
}

/** Every service in turn, for `describe.each`. */
export const KEY_SERVICES: readonly (readonly [string, () => Promise<RunningService>])[] = [
  ["a KMS v2 plugin", startKmsPlugin],
  ["OpenBao's transit engine", () => startOpenBao()],
  ["AWS KMS", startAwsKms],
];
