// Lists a collection of the API server in pages, with fewer objects per page if they are large.

import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { AnswerTooLarge } from "./answer.ts";

/** Objects per page. */
const PAGE_SIZE = 500;

/**
 * Every page of a list, in order. `fetchPage` lists with these query parameters added; if it throws
 * AnswerTooLarge, it is called again for half as many objects.
 */
export async function* pagesOf(
  fetchPage: (query: Readonly<Record<string, string>>) => Promise<JsonObject>,
): AsyncGenerator<JsonObject> {
  let size = PAGE_SIZE;
  for (let from = ""; ;) {
    let page: JsonObject;
    try {
      page = await fetchPage({
        limit: String(size),
        ...(from === "" ? {} : { continue: from }),
      });
    } catch (error) {
      if (!(error instanceof AnswerTooLarge) || size === 1) throw error;
      size = Math.ceil(size / 8);
      continue;
    }
    yield page;
    const next = asObject(page["metadata"] ?? null)?.["continue"];
    if (typeof next !== "string" || next === "") return;
    from = next;
    size = Math.min(size * 2, PAGE_SIZE);
  }
}
