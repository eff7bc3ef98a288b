// The `signet-controller` command: chooses the mode, and sets the exit status.

import { basename } from "node:path";
import { Command } from "commander";
import { BUILD } from "../shared/version.ts";
import { addServeOptions, type ServeFlags } from "./serveflags.ts";
import { addStandaloneOptions, type StandaloneFlags } from "./standaloneflags.ts";

/** The original's image, and ours, also have the program under the name `controller`. */
const programName =
  basename(process.argv[1] ?? "") === "controller" ? "controller" : "signet-controller";

const command = new Command(programName)
  .description(
    "Decrypt SealedSecrets into Secrets and keep them in sync. Without a command, run in a " +
      "cluster.\n" +
      "Every flag can also be set in the environment: --key-size as SEALED_SECRETS_KEY_SIZE.",
  )
  .version(`${programName} version: v${BUILD}`, "--version")
  .enablePositionalOptions()
  .configureHelp({ helpWidth: 100 })
  .configureOutput({
    outputError: (text, write) => {
      write(text.replace(/^error: /, "signet-controller: error: "));
    },
  })
  .exitOverride((error) => {
    // Invalid usage exits with 2, as in all our programs. Help and version are not errors.
    process.exit(error.exitCode === 0 ? 0 : 2);
  });

addServeOptions(command).action(async (flags: ServeFlags) => {
  const { serve } = await import("./serve.ts");
  await serve(flags);
});

addStandaloneOptions(
  command
    .command("standalone")
    .description("Decrypt sealed manifests in folders into Secret files, without a cluster.")
    .addHelpText(
      "after",
      `
Example: a machine that gets its secrets from a Git checkout
  $ signet-controller standalone --from /srv/config --keys /etc/signet/keys \\
      --to /run/secrets --env-files --watch

Exit status: 0 if all Secrets are in sync, 1 if some are not (see the log), 2 for invalid usage.
`,
    ),
).action(async (flags: StandaloneFlags) => {
  const { standalone } = await import("./standalone.ts");
  process.exitCode = await standalone(flags);
});

try {
  await command.parseAsync();
} catch (error) {
  process.stderr.write(`signet-controller: error: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
