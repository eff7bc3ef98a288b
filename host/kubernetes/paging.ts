// Lists a collection of the API server in pages.

import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";

/** Objects per page. */
const PAGE_SIZE = 500;

/** Every page of a list, in order. `fetchPage` lists with these query parameters added. */
export async function* pagesOf(
  fetchPage: (query: Readonly<Record<string, string>>) => Promise<JsonObject>,
): AsyncGenerator<JsonObject> {
  for (let from = ""; ;) {
    const page = await fetchPage({
      limit: String(PAGE_SIZE),
      ...(from === "" ? {} : { continue: from }),
    });
    yield page;
    const next = asObject(page["metadata"] ?? null)?.["continue"];
    if (typeof next !== "string" || next === "") return;
    from = next;
  }
}
