// Building what the Dockerfile says without a container engine: its stages' commands run in a root
// of their own, an overlay over this machine's, with Node 24 in it as in the base image.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

interface Step {
  readonly word: string;
  readonly rest: string;
}

interface Stage {
  readonly base: string;
  readonly name: string;
  readonly steps: Step[];
}

/** The instructions by stage; those before the first `FROM` are left out. */
function readDockerfile(text: string): Stage[] {
  const lines = text.split("\n").filter((line) => !/^\s*(#|$)/.test(line));
  const stages: Stage[] = [];
  for (const line of lines.join("\n").replaceAll("\\\n", " ").split("\n")) {
    const [, word = "", rest = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (word === "FROM") {
      const [, base = "", name = ""] = /^(?:--\S+ )?(\S+)(?: AS (\S+))?$/.exec(rest) ?? [];
      stages.push({ base, name, steps: [] });
    } else {
      stages.at(-1)?.steps.push({ word, rest });
    }
  }
  return stages;
}

/** What the last stage says of how the image is run. */
interface ImageConfig {
  readonly user: string;
  readonly entrypoint: string[];
  readonly env: Record<string, string>;
}

export interface Image {
  /** Folder with all files of the image. */
  readonly root: string;
  readonly config: ImageConfig;
}

/** The build's context: what .dockerignore lets through. `version`: another than it has. */
function copyContext(destination: string, version?: string): void {
  const rules = readFileSync(".dockerignore", "utf8").split("\n");
  const [first, ...named] = rules.filter((rule) => rule !== "" && !rule.startsWith("#"));
  if (first !== "*") throw new Error(".dockerignore lets through what it does not name");
  for (const rule of named) {
    const [, name] = /^!([\w.-]+)$/.exec(rule) ?? [];
    if (name === undefined) throw new Error(`.dockerignore: ${rule} is not understood`);
    cpSync(name, join(destination, name), { recursive: true });
  }
  if (version === undefined) return;
  const file = join(destination, "package.json");
  const manifest = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...manifest, version }, undefined, 2));
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Commands of the stage as one shell script, for a mount namespace of its own. */
function scriptOf(
  { steps }: Stage,
  options: { args: Record<string, string>; context: string; out: string; node: string },
): string {
  const root = "/mnt/root";
  const cache = spawnSync("npm", ["config", "get", "cache"], { encoding: "utf8" }).stdout.trim();
  const lines = [
    "set -e",
    "mount -t tmpfs tmpfs /mnt",
    `mkdir /mnt/upper /mnt/work /mnt/context /mnt/cache ${root}`,
    // Seen from the overlay, what is mounted here is not there: it is handed in.
    `mount --bind ${quote(options.context)} /mnt/context`,
    `mount --bind ${quote(cache)} /mnt/cache`,
    `mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work ${root}`,
    `mkdir -p ${root}/usr/local/bin ${root}/npm-cache`,
    `mount --bind /mnt/cache ${root}/npm-cache`,
    `mount --rbind /dev ${root}/dev`,
    `mount --rbind /proc ${root}/proc`,
    `cp ${quote(options.node)} ${root}/usr/local/bin/node`,
  ];
  // Nothing of the network is needed where `npm ci` ran before, as for these tests.
  const env: Record<string, string> = {
    PATH: ["/usr/local/bin", process.env["PATH"] ?? ""].join(delimiter),
    HOME: "/root",
    npm_config_cache: "/npm-cache",
    npm_config_offline: "true",
    npm_config_logs_max: "0",
  };
  let folder = "/";
  for (const { word, rest } of steps) {
    if (word === "WORKDIR") {
      folder = rest;
      lines.push(`mkdir -p ${root}${folder}`);
    } else if (word === "ARG") {
      const [name = "", value = ""] = rest.split("=");
      env[name] = options.args[name] ?? value.replaceAll('"', "");
    } else if (word === "COPY") {
      const names = rest.split(/\s+/);
      const target = names.pop() ?? "";
      if (!/^\.\/?$/.test(target)) throw new Error(`COPY ${rest}: not understood`);
      const sources = names.map((name) => `/mnt/context/${name === "." ? "." : name}`);
      lines.push(`cp -R ${sources.join(" ")} ${root}${folder}/`);
    } else if (word === "RUN") {
      const settings = Object.entries(env).map(([name, value]) => quote(`${name}=${value}`));
      const command = quote(`cd ${folder} && ${rest}`);
      lines.push(`chroot ${root} env -i ${settings.join(" ")} sh -c ${command}`);
    } else {
      throw new Error(`${word} in a stage that builds: not understood`);
    }
  }
  return [...lines, `cp -a ${root}/out ${quote(options.out)}`, ""].join("\n");
}

/**
 * Builds every stage and puts the last one together. `args`: build arguments. `version`: what the
 * programs say of themselves, where it is not this checkout's.
 */
export function buildImage(
  scratch: string,
  args: Record<string, string>,
  node: string,
  version?: string,
): Image {
  const context = join(scratch, "context");
  mkdirSync(context);
  copyContext(context, version);
  const stages = readDockerfile(readFileSync("Dockerfile", "utf8"));
  const last = stages.pop();
  if (last?.base !== "scratch") throw new Error("the last stage does not start from nothing");
  for (const stage of stages) {
    const file = join(scratch, `${stage.name}.sh`);
    writeFileSync(file, scriptOf(stage, { args, context, out: join(scratch, stage.name), node }));
    const { status, stdout, stderr } = spawnSync("unshare", ["-m", "sh", file], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`the stage ${stage.name} failed:\n${stdout}${stderr}`);
  }
  const root = join(scratch, "image");
  mkdirSync(root);
  const config = { user: "", entrypoint: [] as string[], env: {} as Record<string, string> };
  for (const { word, rest } of last.steps) {
    if (word === "COPY") {
      const [, stage = ""] = /^--from=(\S+) \/out \/$/.exec(rest) ?? [];
      const { status, stderr } = spawnSync("cp", ["-a", `${join(scratch, stage)}/.`, root]);
      if (status !== 0) throw new Error(`COPY ${rest}: ${String(stderr)}`);
    } else if (word === "USER") {
      config.user = rest;
    } else if (word === "ENTRYPOINT") {
      config.entrypoint = JSON.parse(rest) as string[];
    } else if (word === "ENV") {
      for (const [, name = "", value = ""] of rest.matchAll(/(\w+)=(\S+)/g))
        config.env[name] = value;
    }
  }
  return { root, config };
}
