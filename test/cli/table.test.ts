import { describe, expect, it } from "vitest";
import { shownStyled } from "../../cli/terminal/line.ts";
import { table } from "../../cli/terminal/table.ts";

const ROWS = [
  ["NAME", "STATE", "FILE"],
  ["db", "current", "clusters/production/shop/db.yaml"],
  ["a-name-that-is-long", "stale", "prod/shop/other.yaml"],
];

describe("a table", () => {
  it("has columns as wide as their widest cell", () => {
    expect(table(ROWS, Infinity)).toEqual([
      "NAME                 STATE    FILE",
      "db                   current  clusters/production/shop/db.yaml",
      "a-name-that-is-long  stale    prod/shop/other.yaml",
    ]);
  });

  it("fits the terminal: of paths the end stays, of others the beginning", () => {
    expect(table(ROWS, 45)).toEqual([
      "NAME               STATE    FILE",
      "db                 current  …ion/shop/db.yaml",
      "a-name-that-is-l…  stale    …/shop/other.yaml",
    ]);
  });

  it.each([60, 50, 45, 40, 36])("is at most %i columns wide", (width) => {
    for (const line of table(ROWS, width)) expect(line.length).toBeLessThanOrEqual(width);
  });

  it("becomes paragraphs where not even narrow columns fit", () => {
    const heads = [
      "CLUSTER",
      "NAMESPACE",
      "NAME",
      "SCOPE",
      "STATE",
      "KEY",
      "AGE",
      "VALUES",
      "FILE",
    ];
    const row = ["production", "shop-backend", "database-login", "namespace-wide", "current"];
    const more = [
      "SHA256:abcdefghi",
      "31d",
      "username,password",
      "clusters/production/shop/db.yaml",
    ];
    const lines = table([heads, [...row, ...more]], 60);
    expect(lines).toEqual([
      "CLUSTER production  NAMESPACE shop-backend",
      "  NAME database-login  SCOPE namespace-wide  STATE current",
      "  KEY SHA256:abcdefghi  AGE 31d  VALUES username,password",
      "  FILE clusters/production/shop/db.yaml",
    ]);
  });

  it.each([60, 80, 200])("has each key of `keys list` on lines of at most %i columns", (width) => {
    const heads = ["STATE", "VALUES", "SEALEDSECRETS", "SINCE", "SECRET", "FINGERPRINT"];
    const wrapping = ["ALGORITHMS", "WRAPPED BY", "KMS KEY"];
    const fingerprint = `SHA256:${"x".repeat(43)}`;
    const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const key = [
      "sealing",
      "12",
      "7",
      "2026-01-31T00:00:00Z",
      "sealed-secrets-keyabcde",
      fingerprint,
    ];
    const lines = table(
      [
        [...heads, ...wrapping],
        [...key, "rsa, hybrid", "aws", arn],
      ],
      width,
    );
    const shown = lines.map((line) => shownStyled(line, false));
    for (const line of shown) expect(line.length).toBeLessThanOrEqual(width);
    const text = shown.join("\n");
    for (const head of [...heads, ...wrapping]) expect(text).toContain(head);
    for (const cell of ["sealing", "12", "7", "aws", "x".repeat(10)]) expect(text).toContain(cell);
  });

  it("keeps something of every column where the terminal is narrower still", () => {
    for (const line of table(ROWS, 10)) expect(line.length).toBeLessThanOrEqual(12 + 7 + 12 + 4);
  });
});
