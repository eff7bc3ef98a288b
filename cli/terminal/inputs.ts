// Inputs that the command line names: files, folders of manifests, and standard input.
// SPEC.md, "Command line", "Files".

import { join } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { manifestsBelow } from "../../host/manifestfiles.ts";
import { END_OF_INPUT } from "../../host/platform.ts";
import { decodeText, readNamed, readTextWithin, stat } from "../../host/readfile.ts";
import { leadsOut, rootOf, rootOfNamed } from "../../host/rootedfiles.ts";
import { warn } from "./messages.ts";
import { readStdin } from "./stdin.ts";

const STDIN_NAME = "standard input";

/** A text and its source. */
export interface Input {
  /** As errors name it. */
  readonly name: string;
  /** Undefined for standard input. */
  readonly path?: string;
  /**
   * Path below the folder that the command line names; undefined for a file that it names itself.
   */
  readonly inFolder?: string;
  /** What the file must be below, for a file in such a folder. */
  readonly root?: string;
  readonly text: string;
}

/**
 * Reads every named file, the manifests in every named folder, and standard input for `-` or
 * without a name.
 * @throws SignetError io; manifest-syntax where one is not UTF-8
 */
export async function readInputs(names: readonly string[], expected: string): Promise<Input[]> {
  const inputs: Input[] = [];
  const prompt = `reading ${expected} from standard input, end with ${END_OF_INPUT}`;
  let stdinRead = false;
  for (const name of names.length === 0 ? ["-"] : names) {
    if (name === "-") {
      if (stdinRead) throw new SignetError("usage", "standard input is named twice");
      stdinRead = true;
      inputs.push({ name: STDIN_NAME, text: decodeText(await readStdin(prompt), STDIN_NAME) });
    } else if (stat(name).isDirectory()) {
      rootOfNamed(name);
      const root = rootOf(name);
      for (const inFolder of manifestsBelow(name)) {
        const path = join(name, inFolder);
        if (leadsOut(root, path)) {
          warn(`${path}: skipped, because a link in this path leads outside the repository`);
          continue;
        }
        inputs.push({ name: path, path, inFolder, root, text: readTextWithin(root, path) });
      }
    } else {
      inputs.push({ name, path: name, text: readNamed(name) });
    }
  }
  return inputs;
}
