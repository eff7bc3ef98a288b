// A registry of OCI artifacts in memory: as much of the distribution specification as `helm push`,
// `helm pull` and `helm template` use.

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

interface Stored {
  readonly type: string;
  readonly content: Buffer;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const digestOf = (content: Buffer): string =>
  `sha256:${createHash("sha256").update(content).digest("hex")}`;

/** Listens on a free port of this machine. */
export async function startRegistry(): Promise<Server> {
  /** By name and digest, and manifests also by name and tag. */
  const stored = new Map<string, Stored>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://registry");
    const [, name = "", kind = "", reference = ""] =
      /^\/v2\/(.+)\/(blobs\/uploads|blobs|manifests|tags)\/(.*)$/.exec(pathname) ?? [];
    const body = await bodyOf(request);
    const put = (type: string, ...references: string[]): void => {
      for (const each of references) stored.set(`${name}/${each}`, { type, content: body });
      response.writeHead(201, { "docker-content-digest": digestOf(body) }).end();
    };
    if (pathname === "/v2/") response.end();
    else if (request.method === "POST") {
      response.writeHead(202, { location: `/v2/${name}/blobs/uploads/1` }).end();
    } else if (request.method === "PUT" && kind === "manifests") {
      put(request.headers["content-type"] ?? "", digestOf(body), reference);
    } else if (request.method === "PUT") {
      const digest = searchParams.get("digest");
      if (digest === digestOf(body)) put("application/octet-stream", digest);
      else response.writeHead(400).end();
    } else if (kind === "tags") {
      const names = [...stored.keys()].filter((each) => each.startsWith(`${name}/`));
      const tags = names.map((each) => each.slice(name.length + 1));
      const named = tags.filter((each) => !each.startsWith("sha256:"));
      response.end(JSON.stringify({ name, tags: named }));
    } else {
      const found = stored.get(`${name}/${reference}`);
      if (found === undefined) return void response.writeHead(404).end();
      response.writeHead(200, {
        "content-type": found.type,
        "content-length": found.content.length,
        "docker-content-digest": digestOf(found.content),
      });
      response.end(request.method === "HEAD" ? undefined : found.content);
    }
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}
