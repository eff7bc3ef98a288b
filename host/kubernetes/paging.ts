// Lists a collection of the API server in pages, with fewer objects per page if they are large.

import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { AnswerTooLarge } from "./answer.ts";

/** Objects per page. */
const PAGE_SIZE = 500;

/** One page: `parse` gives the list. Until then it is a text, which takes far less memory. */
interface Page {
  readonly parse: () => JsonObject;
}
type Query = Readonly<Record<string, string>>;

/**
 * Every page of a list, in order. `fetchPage` lists with these query parameters added; if it throws
 * AnswerTooLarge, it is called again for fewer objects. While the caller works on a page, the next one is
 * on its way.
 */
export async function* pagesOf(
  fetchPage: (query: Query) => Promise<Page>,
): AsyncGenerator<JsonObject> {
  let size = PAGE_SIZE;
  const fetchFrom = async (from: string): Promise<Page> => {
    for (;;) {
      try {
        return await fetchPage({ limit: String(size), ...(from === "" ? {} : { continue: from }) });
      } catch (error) {
        if (!(error instanceof AnswerTooLarge) || size === 1) throw error;
        size = Math.ceil(size / 8);
      }
    }
  };
  for (let coming = fetchFrom(""); ;) {
    const page = (await coming).parse();
    size = Math.min(size * 2, PAGE_SIZE);
    const next = asObject(page["metadata"] ?? null)?.["continue"];
    if (typeof next !== "string" || next === "") {
      yield page;
      return;
    }
    coming = fetchFrom(next);
    // If it fails, so does the wait for it above, which may never come.
    coming.catch(() => undefined);
    yield page;
  }
}
