// The durations of timeouts, as kubectl reads them.
import { expect, test } from "vitest";
import type { SignetError } from "../../shared/errors.ts";
import { parseTimeout } from "../../cli/cluster/timeout.ts";

test.for<[string, number]>([
  ["0", 0],
  ["0s", 0],
  ["30", 30_000],
  ["+30", 30_000],
  ["300ms", 300],
  ["1.5h", 5_400_000],
  ["1m30s", 90_000],
  ["1h1m1s1ms", 3_661_001],
  [".5s", 500],
  ["+10s", 10_000],
  // Not 0, which is any time.
  ["1ns", 1],
  ["1.0001ms", 2],
  ["1500\u00b5s", 2],
  ["1500\u03bcs", 2],
  ["1500us", 2],
  ["2147483647ms", 2 ** 31 - 1],
])("a timeout of %s is %i ms", ([text, milliseconds]) => {
  expect(parseTimeout(text)).toBe(milliseconds);
});

test.for([
  "",
  "soon",
  "10 s",
  "1d",
  "-1s",
  "-1",
  "1.5",
  "s",
  "1m30",
  "1e3",
  "2147483648ms",
  "600h",
])("%j is no timeout", (text) => {
  expect(() => parseTimeout(text)).toThrow(
    expect.objectContaining({
      code: "usage",
      message: `not a duration: ${text}`,
    }) as SignetError,
  );
});
