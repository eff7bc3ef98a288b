// That programs of others which run `kubeseal` work with ours in its place: kubeseal-auto.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { openValues } from "../../shared/sealing/unseal.ts";
import { metadataOf, objectsOf } from "../../shared/kubernetes/object.ts";
import { partPath } from "../parts/parts.ts";

// As its command line does, without the questions that it asks a person.
const SEAL_AND_MERGE = `
import sys
from kubeseal_auto import Kubeseal
from kubeseal_auto.models import SecretParams, SecretType
secret = """apiVersion: v1
kind: Secret
metadata: {name: db, namespace: demo}
stringData: {%s}
"""
with Kubeseal(select_context=False, certificate="cert.pem") as kubeseal:
    kubeseal._temp_file_path.write_text(secret % "password: hunter2, port: 5432")
    kubeseal.seal(SecretParams(name="db", namespace="demo", secret_type=SecretType.GENERIC))
    kubeseal._temp_file_path.write_text(secret % "token: t0p")
    kubeseal.merge("db.yaml")
    kubeseal._temp_file_path.write_text("kind: ConfigMap")
    try:
        kubeseal.merge("db.yaml")
    except Exception as error:
        print("refused:", error)
`;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "clients-"));
  mkdirSync(join(folder, "bin"));
  const command = join(folder, "bin/kubeseal");
  writeFileSync(
    command,
    `#!/bin/sh\nexec "${process.execPath}" "${resolve("dist/kubeseal.cjs")}" "$@"\n`,
  );
  chmodSync(command, 0o755);
  copyFileSync("test/fixtures/cert.pem", join(folder, "cert.pem"));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it("kubeseal-auto seals and merges with ours on PATH", async () => {
  const output = execFileSync("python3", ["-c", SEAL_AND_MERGE], {
    cwd: folder,
    encoding: "utf8",
    env: {
      ...process.env,
      PATH: `${join(folder, "bin")}${delimiter}${process.env["PATH"] ?? ""}`,
      PYTHONPATH: partPath("kubeseal-auto"),
      PYTHONDONTWRITEBYTECODE: "1",
    },
  });
  expect(output).toContain("Sealed Secret Created");
  expect(output.replaceAll(/\s+/g, " ")).toMatch(/refused: .*error: .*found ConfigMap/);
  const [object] = parseManifests(readFileSync(join(folder, "db.yaml"), "utf8")).flatMap(objectsOf);
  const keys = new Keyring(readKeyFile(readFileSync("test/fixtures/key.pem", "utf8"), "key.pem"));
  const { values } = await openValues(parseSealedSecret(object ?? {}), keys);
  const texts = [...values].map(([item, value]) => [item, Buffer.from(value).toString()]);
  expect(Object.fromEntries(texts)).toEqual({ password: "hunter2", port: "5432", token: "t0p" });
  // It adds one of its own, by reading and writing the YAML.
  const { annotations } = metadataOf(object ?? {});
  expect(Object.keys(annotations as object)).toContain("argocd.argoproj.io/sync-options");
});
