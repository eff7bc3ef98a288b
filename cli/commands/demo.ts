// `signet demo`: the main job from key to rollback, with real commands in a scratch Git repository.

import type { Command } from "commander";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, parse } from "node:path";
import { runShell } from "../../host/shell.ts";
import { samePlace, statIfThere } from "../../host/readfile.ts";
import { SignetError } from "../../shared/errors.ts";

export function define(command: Command): void {
  command
    .usage("")
    .description(
      "Runs the whole of it once, in a folder instead of a cluster, and says what it does.",
    )
    .action(() => {
      runDemo();
    });
}

interface Step {
  readonly title: string;
  /** Shell lines, run one by one in the scratch folder. */
  readonly lines: readonly string[];
  /** What the last line must print; a demo that shows something else has failed. */
  readonly shows?: string;
}

const CONTROLLER = "signet-controller.mjs";

const SYNC = "signet-controller standalone --from config --to secrets --keys keys";
const COMMIT = "git add -A config && git commit -q -m";

const STEPS: readonly Step[] = [
  {
    title: "A repository, and a sealing key; only its public certificate goes into Git",
    lines: [
      "git init -q && mkdir config",
      `${SYNC} --write-cert config/sealing.pem`,
      "signet cert show config/sealing.pem",
      `${COMMIT} "add the sealing certificate"`,
    ],
  },
  {
    title: "Seal a Secret with the certificate alone, and commit it",
    lines: [
      "cat secret.yaml",
      "signet seal --cert config/sealing.pem secret.yaml -w config/db.yaml",
      "rm secret.yaml && cut -c1-76 config/db.yaml",
      `${COMMIT} "shop: database password"`,
    ],
  },
  {
    title: "Sync: what is declared becomes the Secret",
    lines: [SYNC, "cat secrets/shop/db/password"],
    shows: "correct-horse",
  },
  {
    title: "Someone edits the Secret by hand; the next sync puts it back",
    lines: ["printf tampered > secrets/shop/db/password", SYNC, "cat secrets/shop/db/password"],
    shows: "correct-horse",
  },
  {
    title: "Rotate the sealing key; the old key still opens what it sealed",
    lines: [
      `${SYNC} --new-key --write-cert config/sealing.pem`,
      "signet unseal --recovery-key keys config/db.yaml | signet seal --cert config/sealing.pem -w config/db.yaml",
      `${COMMIT} "re-seal under the new key"`,
      SYNC,
      "cat secrets/shop/db/password",
    ],
    shows: "correct-horse",
  },
  {
    title: "Change the password by a commit",
    lines: [
      "cat changed.yaml",
      "signet seal --cert config/sealing.pem changed.yaml -w config/db.yaml && rm changed.yaml",
      `${COMMIT} "shop: new database password"`,
      SYNC,
      "cat secrets/shop/db/password",
    ],
    shows: "battery-staple",
  },
  {
    title: "That was wrong: revert the commit, and the Secret rolls back",
    lines: [
      "git revert --no-edit HEAD > /dev/null && git log --format='%h %s'",
      SYNC,
      "cat secrets/shop/db/password",
    ],
    shows: "correct-horse",
  },
];

/** Runs the demo and removes its folder. @throws SignetError where a step fails */
function runDemo(): void {
  const programs = folderOfPrograms();
  const folder = mkdtempSync(join(tmpdir(), "signet-demo-"));
  try {
    const env = prepare(folder, programs);
    process.stdout.write(`Everything below runs in ${folder}, which is removed at the end.\n`);
    for (const [index, step] of STEPS.entries()) runStep(step, index + 1, folder, env);
    process.stdout.write(
      "\nThat is the whole loop, without a cluster. On a cluster the same SealedSecret is applied by\n" +
        "Argo CD, Flux or kubectl, and the controller does the rest: see README.md.\n",
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where the npm package has its programs. @throws SignetError io in a program without the others */
function folderOfPrograms(): string {
  // Installed commands are symbolic links. In a program without Node, this path exists inside the program only.
  const folder = dirname(samePlace(process.argv[1] ?? "."));
  if (statIfThere(join(folder, CONTROLLER)) !== undefined) return folder;
  throw new SignetError(
    "io",
    "the demo needs signet-controller, which this program comes without",
    {
      hint: "it is in the npm package: `npm install --global kube-signet`, then `signet demo`",
    },
  );
}

/** Puts both programs on PATH, and writes two plain Secrets. */
function prepare(folder: string, programs: string): NodeJS.ProcessEnv {
  const bin = join(folder, ".bin");
  mkdirSync(bin);
  for (const file of ["signet.cjs", CONTROLLER]) {
    const program = join(bin, parse(file).name);
    const shim = `#!/bin/sh\nexec "${process.execPath}" "${join(programs, file)}" "$@"\n`;
    writeFileSync(program, shim);
    chmodSync(program, 0o755);
  }
  for (const [file, password] of [
    ["secret.yaml", "correct-horse"],
    ["changed.yaml", "battery-staple"],
  ] as const) {
    const manifest = [
      "apiVersion: v1",
      "kind: Secret",
      "metadata: { name: db, namespace: shop }",
      `stringData: { password: ${password} }`,
      "",
    ];
    writeFileSync(join(folder, file), manifest.join("\n"), { mode: 0o600 });
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

function runStep(step: Step, number: number, folder: string, env: NodeJS.ProcessEnv): void {
  process.stdout.write(`\n--- ${number}. ${step.title}\n`);
  let printed = "";
  for (const line of step.lines) {
    process.stdout.write(`$ ${line}\n`);
    const run = runShell(line, { cwd: folder, env });
    if (run.error !== undefined) throw withoutShell(run.error);
    // Log lines are shown only where something fails.
    printed = run.stdout;
    process.stdout.write(printed === "" || printed.endsWith("\n") ? printed : `${printed}\n`);
    if (run.status !== 0) {
      process.stderr.write(run.stderr);
      throw new SignetError("io", `demo step ${number} failed: ${line}`);
    }
  }
  if (step.shows !== undefined && printed.trim() !== step.shows) {
    throw new SignetError("io", `demo step ${number} did not show what it should`);
  }
}
