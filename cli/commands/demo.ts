// `signet demo`: the whole cycle from key to rollback, with real commands in a scratch Git repository.

import type { Command } from "commander";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, parse } from "node:path";
import { runShell } from "../../host/shell.ts";
import { samePlace, statIfThere } from "../../host/readfile.ts";
import { SignetError } from "../../shared/errors.ts";
import { styled } from "../terminal/line.ts";
import { printLines, printResult } from "../terminal/results.ts";

export function define(command: Command): void {
  command
    .usage("")
    .description("Run through everything once, step by step, with a folder in place of a cluster.")
    .action(runDemo);
}

interface Step {
  readonly title: string;
  /** Shell lines, run one by one in the scratch folder. */
  readonly lines: readonly string[];
  /** What the last line must print; otherwise the demo fails. */
  readonly shows?: string;
}

const CONTROLLER = "signet-controller.mjs";

const FOLDERS = "--from prod --to cluster/secrets --keys cluster/keys";
const SYNC = `signet-controller standalone ${FOLDERS}`;
const SHOW = "cat cluster/secrets/shop/db/password";
const COMMIT = "git add -A && git commit -q -m";

const STEPS: readonly Step[] = [
  {
    title: "The controller creates a sealing key; only its public certificate leaves the cluster",
    lines: [
      "mkdir prod cluster && git init -q && printf '/cluster/\\n/.bin/\\n' > .gitignore",
      `${SYNC} --write-cert cluster/cert.pem`,
    ],
  },
  {
    title: "init: signet.yaml names the cluster, and the certificate is added to the repository",
    lines: [
      'signet init --cluster "prod=file://$PWD/cluster/cert.pem"',
      "signet cert",
      `${COMMIT} "seal for prod"`,
    ],
  },
  {
    title: "new: create a Secret, sealed with only the certificate, and commit it",
    lines: [
      "printf correct-horse | signet new db -n shop --from-literal password",
      "cut -c1-76 prod/shop/db.yaml",
      `${COMMIT} "shop: database password"`,
    ],
  },
  {
    title: "Sync: the controller creates the Secret from the SealedSecret",
    lines: [SYNC, SHOW],
    shows: "correct-horse",
  },
  {
    title: "set and diff: a new value changes one line; nothing else is decrypted",
    lines: [
      "printf battery-staple | signet set prod/shop/db.yaml password",
      "signet diff --revisions HEAD",
      `${COMMIT} "shop: new database password"`,
      SYNC,
      SHOW,
    ],
    shows: "battery-staple",
  },
  {
    title: "verify: detect a file that was copied to another namespace, without any key",
    lines: [
      "signet verify",
      "mkdir prod/blog && sed 's/namespace: shop/namespace: blog/' prod/shop/db.yaml > prod/blog/db.yaml",
      "signet verify || rm -r prod/blog",
    ],
  },
  {
    title: "Drift: someone edits the Secret by hand; the next sync reverts it",
    lines: ["printf tampered > cluster/secrets/shop/db/password", SYNC, SHOW],
    shows: "battery-staple",
  },
  {
    title: "Rotation: create a new sealing key; status shows what is stale, reseal updates it",
    lines: [
      `${SYNC} --new-key --write-cert cluster/cert.pem`,
      "signet cert refresh",
      "signet status || true",
      "signet reseal --recovery-key cluster/keys > /dev/null",
      "signet status",
      `${COMMIT} "re-seal with the new key"`,
      SYNC,
      SHOW,
    ],
    shows: "battery-staple",
  },
  {
    title: "Rollback: commit a wrong value, and revert it like any other change",
    lines: [
      "printf oops | signet set prod/shop/db.yaml password",
      `${COMMIT} "shop: a mistake"`,
      SYNC,
      "git revert --no-edit HEAD > /dev/null && git log --format='%h %s' -3",
      SYNC,
      SHOW,
    ],
    shows: "battery-staple",
  },
];

/** Runs the demo and removes its folder. @throws SignetError if a step fails */
async function runDemo(): Promise<void> {
  const programs = folderOfPrograms();
  const folder = mkdtempSync(join(tmpdir(), "signet-demo-"));
  try {
    const env = prepare(folder, programs);
    await printLines([`Everything below runs in ${folder}, which is removed at the end.`]);
    const startedMs = Date.now();
    for (const [index, step] of STEPS.entries()) await runStep(step, index + 1, folder, env);
    const seconds = Math.round((Date.now() - startedMs) / 1000);
    await printLines([
      "",
      [
        styled(`That was the whole cycle, in ${seconds} s.`, "bold"),
        " On a cluster, Argo CD, Flux or kubectl applies the",
      ],
      "same SealedSecrets, and the controller does the rest: see README.md.",
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The folder of the npm package's programs. @throws SignetError io in a standalone binary */
function folderOfPrograms(): string {
  // Installed commands are symbolic links. In a program without Node, this path exists inside the program only.
  const folder = dirname(samePlace(process.argv[1] ?? "."));
  if (statIfThere(join(folder, CONTROLLER)) !== undefined) return folder;
  throw new SignetError(
    "io",
    "the demo needs signet-controller, which is not part of this program",
    {
      hint: "install the npm package, which has it: `npm install --global kube-signet`, then `signet demo`",
    },
  );
}

/** Puts both programs on PATH. */
function prepare(folder: string, programs: string): NodeJS.ProcessEnv {
  const bin = join(folder, ".bin");
  mkdirSync(bin);
  for (const file of ["signet.cjs", CONTROLLER]) {
    const program = join(bin, parse(file).name);
    const shim = `#!/bin/sh\nexec "${process.execPath}" "${join(programs, file)}" "$@"\n`;
    writeFileSync(program, shim);
    chmodSync(program, 0o755);
  }
  const identity = { NAME: "A Developer", EMAIL: "developer@example.org" };
  const git = Object.entries(identity).flatMap(([part, value]) => [
    [`GIT_AUTHOR_${part}`, value],
    [`GIT_COMMITTER_${part}`, value],
  ]);
  return {
    ...process.env,
    ...(Object.fromEntries(git) as Record<string, string>),
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    PATH: [bin, process.env["PATH"] ?? ""].join(delimiter),
  };
}

function withoutShell(cause: Error): SignetError {
  return new SignetError("io", "cannot run the commands of the demo: no POSIX shell (sh) found", {
    hint: "on Windows, run it in WSL",
    cause,
  });
}

async function runStep(
  step: Step,
  number: number,
  folder: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  await printLines(["", [styled(`--- ${number}. ${step.title}`, "bold")]]);
  let printed = "";
  for (const line of step.lines) {
    await printLines([[styled(`$ ${line}`, "cyan")]]);
    const run = runShell(line, { cwd: folder, env });
    if (run.error !== undefined) throw withoutShell(run.error);
    // Log lines of the controller are shown only if something fails.
    const said = run.stderr.split("\n").filter((each) => each.startsWith("signet: "));
    printed = run.stdout;
    await printResult(printed === "" || printed.endsWith("\n") ? printed : `${printed}\n`);
    await printLines(said.map((each) => [styled(each, "dim")]));
    if (run.status !== 0) {
      process.stderr.write(run.stderr);
      throw new SignetError("io", `demo step ${number} failed: ${line}`);
    }
  }
  if (step.shows !== undefined && printed.trim() !== step.shows) {
    throw new SignetError("io", `demo step ${number} did not print the expected output`);
  }
}
