// Which source files may open a path without a root: each with its reason. All else goes through the
// opener and the writer of host/, which keep a path within its repository.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const FOLDERS = ["cli", "controller", "host"];

const sources = new Map(
  FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)),
  )
    .filter((path) => path.endsWith(".ts"))
    .map((path) => [path, readFileSync(path, "utf8")] as const),
);

function filesWith(found: (text: string) => boolean): string[] {
  return [...sources].flatMap(([path, text]) => (found(text) ? [path] : [])).sort();
}

/** Calls that take an open file, not a path. */
const OF_OPEN_FILES = ["fstatSync", "readSync", "writeSync"];

/** Whether a text imports what takes a path. Other forms of the import count as if they did. */
function opensPaths(text: string): boolean {
  const all = [...text.matchAll(/["'`](node:)?fs(\/promises)?["'`]/g)].length;
  const types = [...text.matchAll(/^import type .* from "node:fs";$/gm)].length;
  const plain = [...text.matchAll(/^import \{([^}]*)\} from "node:fs";$/gm)].filter(
    ([, names = ""]) =>
      names.split(",").every((name) => name.trim() === "" || OF_OPEN_FILES.includes(name.trim())),
  );
  return all > plain.length + types || text.includes("getBuiltinModule");
}

const MAY_OPEN_PATHS: Record<string, string> = {
  "host/atomicwrite.ts": "creates and renames files within a root",
  "host/codecache.ts": "compiled code in the user's cache folder",
  "host/findprogram.ts": "looks for programs on the PATH",
  "host/kms/restclient.ts": "the file with a login that the operator named",
  "host/renameover.ts": "renames what it is told to, within a root",
  "host/manifestfiles.ts": "lists folders within a root",
  "host/pod.ts": "a file that Kubernetes mounts",
  "host/readfile.ts": "reads files that a person named",
  "host/rootedfiles.ts": "opens files within a root",
  "host/writefiles.ts": "creates folders and renames files within a root",
  "cli/commands/demo.ts": "a new temporary folder of its own",
  "cli/commands/edit/editor.ts": "programs on the PATH",
  "host/memoryfolder.ts": "a folder in memory of its own",
  "controller/folderkeys.ts": "the folder of --keys, which the operator named",
  "controller/foldermanifests.ts": "lists the folders of --from, which the operator named",
  "controller/folderworld.ts": "lists the folder of --to, which the operator named",
  "controller/httpserver.ts": "the TLS files that the operator named",
  "controller/secretfiles.ts": "writes below --to, refusing links on the way",
  "controller/standalone.ts": "the folder of --to, which the operator named",
};

const MAY_READ_NAMED: Record<string, string> = {
  "cli/checks/scannedfiles.ts": "the files that are arguments",
  "cli/cluster/certificateaddress.ts": "--cert",
  "cli/commands/completion.ts": "the file on the command line that is completed",
  "cli/commands/edit/editor.ts": "the editor's file",
  "cli/commands/keys/restore.ts": "the backup that is an argument",
  "cli/commands/keys/wrappedfiles.ts": "--wrapped-key",
  "cli/commands/new/newanswers.ts": "the answer to a question",
  "cli/commands/page.ts": "--cert",
  "cli/commands/seal/mergeinto.ts": "--merge-into",
  "cli/kubeseal/input.ts": "--secret-file",
  "cli/kubeseal/mergemode.ts": "--merge-into",
  "cli/kubeseal/sealmode.ts": "--from-file",
  "cli/recovery/lock.ts": "--passphrase-file",
  "cli/recovery/recoverykeys.ts": "--recovery-key",
  "cli/repository/sealedfiles.ts": "the files that are arguments",
  "cli/repository/recoveredkeys.ts": "--recovery-identity",
  "cli/sealing/envfiles.ts": "--from-env-file",
  "cli/sealing/valuesources.ts": "--from-file and the TLS pair",
  "cli/terminal/inputs.ts": "the files that are arguments",
  "controller/recoverypolicy.ts": "--recovery-recipients-file",
  "host/kubernetes/kubeconfigfiles.ts": "KUBECONFIG, and the files that a kubeconfig names",
  "host/trust.ts": "the machine's authorities, SSL_CERT_FILE and NODE_EXTRA_CA_CERTS",
};

describe("what opens a path without a root", () => {
  it("is what is listed here, and nothing else imports node:fs", () => {
    expect(filesWith(opensPaths)).toEqual(Object.keys(MAY_OPEN_PATHS).sort());
  });

  it("reads what a person named in the places that are listed here", () => {
    const reads = /\b(readText|readBytes|readNamed)\b/;
    const found = filesWith((text) => reads.test(text));
    expect(found).toEqual([...Object.keys(MAY_READ_NAMED), "host/readfile.ts"].sort());
  });

  it.for([
    'import { readFileSync } from "node:fs";',
    'import * as fs from "node:fs";',
    'import fs from "fs";',
    'import { open } from "node:fs/promises";',
    'const { open } = await import("node:fs/promises");',
    'import { fstatSync } from "node:fs";\nconst fs = await import("node:fs");',
    "process.getBuiltinModule(name)",
  ])("counts %j", (text) => {
    expect(opensPaths(text)).toBe(true);
    expect(opensPaths('import { fstatSync, writeSync } from "node:fs";')).toBe(false);
  });
});
