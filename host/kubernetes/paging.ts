// Lists a collection of the API server in pages, with fewer objects per page if they are large.

import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { AnswerTooLarge } from "./answer.ts";

/** Objects per page. */
const PAGE_SIZE = 500;

/** A response as it came. Parsed, a page can take ten times the memory of its text. */
export type Unparsed = () => JsonObject;

/** Lists with these query parameters. */
export type FetchPage = (query: Readonly<Record<string, string>>) => Promise<Unparsed>;

/**
 * Calls `take` with every page of a list, in order. If `fetchPage` throws AnswerTooLarge, it is called
 * again for fewer objects. The next page is on its way meanwhile, but no more than one is parsed at a
 * time, not even of several lists: `take` must keep nothing of it that is large.
 */
export async function eachPage(
  fetchPage: FetchPage,
  take: (page: JsonObject) => void,
): Promise<void> {
  let fetching = pageAt(fetchPage, "", PAGE_SIZE);
  for (;;) {
    const { unparsed, size } = await fetching;
    // A variable would keep the page until the next one is there.
    const parsed: { page?: JsonObject } = { page: unparsed() };
    const next = asObject(parsed.page?.["metadata"] ?? null)?.["continue"];
    const isLast = typeof next !== "string" || next === "";
    if (!isLast) {
      fetching = pageAt(fetchPage, next, Math.min(size * 2, PAGE_SIZE));
      // It is thrown above, unless `take` throws before.
      fetching.catch(() => undefined);
      await untilSent();
    }
    take(parsed.page ?? {});
    delete parsed.page;
    if (isLast) return;
  }
}

/** The page with at most `size` objects from a place on, and its size. */
async function pageAt(
  fetchPage: FetchPage,
  from: string,
  size: number,
): Promise<{ unparsed: Unparsed; size: number }> {
  try {
    const place = from === "" ? {} : { continue: from };
    return { unparsed: await fetchPage({ limit: String(size), ...place }), size };
  } catch (error) {
    if (!(error instanceof AnswerTooLarge) || size === 1) throw error;
    return pageAt(fetchPage, from, Math.ceil(size / 8));
  }
}

/**
 * Until a request that was just made is sent, if its connection is open; long work would hold it up.
 * No response of another request arrives meanwhile.
 */
async function untilSent(): Promise<void> {
  for (let ticks = 0; ticks < 3; ticks++) {
    await new Promise<void>((resolve) => {
      process.nextTick(resolve);
    });
  }
}
