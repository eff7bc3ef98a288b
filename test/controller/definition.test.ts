// When a SealedSecret that is not found counts as deleted, over a real socket.
// SPEC.md, "Deliveries".
import { afterEach, beforeEach, expect, it } from "vitest";
import { Definition } from "../../controller/definition.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";

const PATH = "/apis/bitnami.com/v1alpha1";
const VERBS = ["delete", "deletecollection", "get", "list", "watch"];

let server: ApiServer;
let nowMs = 0;
let definition: Definition;
beforeEach(async () => {
  server = await startApiServer();
  nowMs = 0;
  definition = new Definition(server.client(), () => nowMs);
});
afterEach(() => server.close());

function answer(resources: JsonObject[]): void {
  server.always("GET", PATH, (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ kind: "APIResourceList", resources }));
  });
}

const whole = [{ name: "sealedsecrets", verbs: [...VERBS, "create"] }];

it("while the definition is there, after one look for many", async () => {
  answer(whole);
  expect(await Promise.all([definition.heldMs(), definition.heldMs()])).toEqual([0, 0]);
  await definition.heldMs();
  expect(server.seen.length).toBe(1);
  nowMs += 1_001;
  await definition.heldMs();
  expect(server.seen.length).toBe(2);
});

it.each<[string, () => void]>([
  [
    "is being deleted",
    () => {
      answer([{ name: "sealedsecrets", verbs: VERBS }]);
    },
  ],
  [
    "is gone beside others",
    () => {
      answer([{ name: "others", verbs: [...VERBS, "create"] }]);
    },
  ],
  [
    "is gone",
    () => {
      server.always("GET", PATH, refuse(404, "NotFound"));
    },
  ],
])("not where it %s, and not until a while after it is back", async (_what, work) => {
  work();
  expect(await definition.heldMs()).toBe(600_000);
  answer(whole);
  nowMs += 599_000;
  expect(await definition.heldMs()).toBe(1_000);
  nowMs += 2_000;
  expect(await definition.heldMs()).toBe(0);
});

it("not after SealedSecrets could not be listed", async () => {
  answer(whole);
  definition.missed();
  expect(await definition.heldMs()).toBe(600_000);
});

it("not while the server does not say, and as before where it may not be asked", async () => {
  server.always("GET", PATH, refuse(500, "InternalError"));
  await expect(definition.heldMs()).rejects.toMatchObject({ failure: "transient" });
  server.always("GET", PATH, refuse(403, "Forbidden"));
  expect(await definition.heldMs()).toBe(0);
});
