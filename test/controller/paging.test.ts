// Lists in pages: the next page comes while the one before is worked on.
import { expect, it } from "vitest";
import { pagesOf } from "../../host/kubernetes/paging.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";

const page = (name: string, next = ""): JsonObject => ({
  metadata: { continue: next },
  items: [{ name }],
});

it("asks for the next page before the one before is done, and parses it only then", async () => {
  const done: string[] = [];
  const pages = pagesOf(({ continue: from = "first" }) => {
    done.push(`asked for ${from}`);
    const parse = (): JsonObject => {
      done.push(`parsed ${from}`);
      return from === "first" ? page("a", "second") : page("b");
    };
    return Promise.resolve({ parse });
  });
  for await (const { items } of pages) {
    await new Promise(setImmediate);
    done.push(`worked on ${JSON.stringify(items)}`);
  }
  expect(done).toEqual([
    "asked for first",
    "parsed first",
    "asked for second",
    'worked on [{"name":"a"}]',
    "parsed second",
    'worked on [{"name":"b"}]',
  ]);
});

it("fails where a page fails, after those before it", async () => {
  const seen: unknown[] = [];
  const pages = pagesOf(({ continue: from }) =>
    from === undefined
      ? Promise.resolve({ parse: () => page("a", "second") })
      : Promise.reject(new Error("gone")),
  );
  const all = (async () => {
    for await (const { items } of pages) {
      await new Promise(setImmediate);
      seen.push(items);
    }
  })();
  await expect(all).rejects.toThrow("gone");
  expect(seen).toEqual([[{ name: "a" }]]);
});

it("fails for nobody where the caller has seen enough", async () => {
  const pages = pagesOf(({ continue: from }) =>
    from === undefined
      ? Promise.resolve({ parse: () => page("a", "second") })
      : Promise.reject(new Error("gone")),
  );
  for await (const { items } of pages) {
    expect(items).toEqual([{ name: "a" }]);
    break;
  }
  // An unhandled rejection would fail this file.
  await new Promise(setImmediate);
});
