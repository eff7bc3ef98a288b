// Proofs about the one error type: its place, its words, its codes.

import { describe, expect, test } from "vitest";
import { ERROR_CODES, formatPlace, locate, SignetError } from "../../shared/errors.ts";

describe("a place", () => {
  test("is said from the outside in", () => {
    expect(
      formatPlace({
        field: "stringData.password",
        object: "demo/db",
        line: 7,
        document: 2,
        file: "secrets.yaml",
      }),
    ).toBe("secrets.yaml: document 2: line 7: demo/db: stringData.password");
    expect(formatPlace({})).toBe("");
  });

  test("is filled in on the way up, and never written over", () => {
    const inner = new SignetError("secret-invalid", "is not base64", {
      hint: "do",
      place: { field: "data.x" },
      cause: "why",
    });
    const outer = inner.at({ field: "outer", file: "a.yaml" });
    expect(outer).toMatchObject({
      code: "secret-invalid",
      message: "is not base64",
      hint: "do",
      cause: "why",
      place: { field: "data.x", file: "a.yaml" },
    });
    expect(inner.place).toEqual({ field: "data.x" });
  });

  test("is filled in by locate for our own errors alone", () => {
    const ours = new SignetError("io", "gone");
    const theirs = new TypeError("bug");
    const thrownBy = (error: Error): unknown => {
      try {
        return locate({ file: "a.yaml" }, () => {
          throw error;
        });
      } catch (thrown) {
        return thrown;
      }
    };
    expect(thrownBy(ours)).toMatchObject({ code: "io", place: { file: "a.yaml" } });
    expect(thrownBy(theirs)).toBe(theirs);
    expect(locate({}, () => 7)).toBe(7);
  });
});

describe("the codes", () => {
  test("are this closed set, with these exit statuses and what comes next", () => {
    const said = Object.entries(ERROR_CODES).map(
      ([code, { exitStatus, next }]) => `${code} ${exitStatus} ${next}`,
    );
    expect(said).toEqual([
      "usage 2 wait",
      "manifest-syntax 1 wait",
      "manifest-ambiguous 1 wait",
      "wrong-kind 1 wait",
      "secret-invalid 1 wait",
      "sealedsecret-invalid 1 wait",
      "certificate-invalid 1 wait",
      "certificate-expired 1 wait",
      "key-invalid 1 wait",
      "decrypt-failed 1 wait",
      "template-failed 1 wait",
      "project-invalid 1 wait",
      "io 1 retry",
      "network 1 retry",
      "cancelled 130 wait",
      "check-found 3 wait",
    ]);
  });

  test("come with an Error that is an Error", () => {
    const error = new SignetError("usage", "wrong");
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe("SignetError");
    expect(error.hint).toBeUndefined();
    expect("cause" in error).toBe(false);
  });
});
