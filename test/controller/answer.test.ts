// Limits of the API server's responses.
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { AnswerTooLarge, readAnswer } from "../../host/kubernetes/answer.ts";

const read = (text: string): Promise<string> => readAnswer(Readable.from([Buffer.from(text)]));

/** More than an answer may have. */
const MANY = ",".repeat(3_200_000);

it.each([
  ["", ""],
  ["an escaped quote", '\\"'],
  ["an escaped backslash and an escaped quote", '\\\\\\"'],
])("what is in a string is no part, also behind %s", async (_, start) => {
  const text = `{"a":"${start}${MANY}"}`;
  expect(await read(text)).toBe(text);
});

it.each([
  ["a string", '"a"'],
  ["one that ends with a backslash", '"a\\\\"'],
  ["an empty one", '""'],
])("what follows %s is counted", async (_, before) => {
  await expect(read(`[${before}${MANY}]`)).rejects.toThrow(AnswerTooLarge);
});
