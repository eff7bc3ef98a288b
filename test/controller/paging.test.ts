// How a list is read page by page: the next page on its way, and no more than one in memory.
// SPEC.md, "Limits".
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eachPage, type FetchPage } from "../../host/kubernetes/paging.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { type ApiServer, startApiServer } from "./apiserver.ts";

const page = (next: string | null): JsonObject =>
  next === null ? { metadata: {}, items: [] } : { metadata: { continue: next }, items: [] };

/** Three pages, and what was done in which order. */
function threePages(): { fetchPage: FetchPage; done: string[] } {
  const done: string[] = [];
  const fetchPage: FetchPage = ({ continue: from = "1" }) => {
    done.push(`ask ${from}`);
    return Promise.resolve(() => page(from === "3" ? null : String(Number(from) + 1)));
  };
  return { fetchPage, done };
}

describe("the next page of a list", () => {
  it("is on its way while the caller works on one", async () => {
    const { fetchPage, done } = threePages();
    let taken = 0;
    await eachPage(fetchPage, () => done.push(`take ${++taken}`));
    expect(done).toEqual(["ask 1", "ask 2", "take 1", "ask 3", "take 2", "take 3"]);
  });

  it("may fail after the caller did, without being an error that nobody handles", async () => {
    const fetchPage: FetchPage = ({ continue: from }) =>
      from === undefined
        ? Promise.resolve(() => page("2"))
        : new Promise((_, reject) => {
            setImmediate(reject, new Error("too late"));
          });
    const refused = eachPage(fetchPage, () => {
      throw new Error("the caller's");
    });
    await expect(refused).rejects.toThrow("the caller's");
    await new Promise((resolve) => setTimeout(resolve, 10));
  });

  it("fails the list if it cannot be had", async () => {
    const fetchPage: FetchPage = ({ continue: from }) =>
      from === undefined ? Promise.resolve(() => page("2")) : Promise.reject(new Error("gone"));
    let taken = 0;
    await expect(eachPage(fetchPage, () => taken++)).rejects.toThrow("gone");
    expect(taken).toBe(1);
  });
});

describe("of several lists at the same time", () => {
  let server: ApiServer;
  beforeEach(async () => {
    server = await startApiServer();
  });
  afterEach(() => server.close());

  it("no more than one page is parsed, so that their memory does not add up", async () => {
    const paths = ["demo", "shop", "bank"].map((each) => `/api/v1/namespaces/${each}/secrets`);
    for (const path of paths) {
      for (let index = 0; index < 2_600; index++) server.put(`${path}/s${index}`, { data: {} });
    }
    const client = server.client();
    let [parsed, most, taken] = [0, 0, 0];
    const read = (path: string): Promise<void> =>
      eachPage(
        async (query) => {
          const unparsed = await client.unparsed("GET", path, { query });
          return () => {
            most = Math.max(most, ++parsed);
            return unparsed();
          };
        },
        ({ items }) => {
          taken += (items as unknown[]).length;
          parsed--;
        },
      );
    await Promise.all(paths.map(read));
    client.close();
    expect([taken, most]).toEqual([7_800, 1]);
  });
});
