// The files for package managers: krew's manifest and Homebrew's formula.

import { dump } from "js-yaml";
import { type Archive, type Processor, programName, type System } from "./archives.ts";

export interface Published {
  readonly version: string;
  /** Address of the project. */
  readonly home: string;
  /** Address of the folder that has the release's files. */
  readonly files: string;
  readonly archives: readonly Archive[];
  readonly manual: { readonly file: string; readonly sha256: string };
}

const SUMMARY = "Keep Kubernetes Secrets in Git, encrypted";

/** The manifest of the plugin `kubectl signet`. Krew requires the file name `signet.yaml`. */
export function krewManifest({ version, home, files, archives }: Published): string {
  const platforms = archives.map(({ file, system, processor, sha256 }) => ({
    selector: { matchLabels: { os: system, arch: processor } },
    uri: `${files}/${file}`,
    sha256,
    // Its link becomes kubectl-signet. `kubeseal` is not a plugin, and krew links one program.
    bin: programName("signet", system),
    files: [programName("signet", system), "LICENSE"].map((from) => ({ from, to: "." })),
  }));
  const manifest = {
    apiVersion: "krew.googlecontainertools.github.com/v1alpha2",
    kind: "Plugin",
    metadata: { name: "signet" },
    spec: {
      version: `v${version}`,
      homepage: home,
      shortDescription: SUMMARY,
      description:
        "Seals Secrets with the public certificate of a cluster, changes single values of sealed\n" +
        "files, checks them without any key, and re-seals them after a key rotation.\n" +
        "Reads and writes the SealedSecrets of Bitnami Sealed Secrets.\n",
      platforms,
    },
  };
  return dump(manifest, { lineWidth: -1 });
}

const BREW_SYSTEMS: readonly [System, string][] = [
  ["darwin", "macos"],
  ["linux", "linux"],
];
const BREW_PROCESSORS: readonly [Processor, string][] = [
  ["arm64", "arm"],
  ["amd64", "intel"],
];

/**
 * The formula of a tap, to be saved as `Formula/kube-signet.rb`.
 * @throws Error if an archive that it needs is missing
 */
export function brewFormula(published: Published): string {
  const { version, home, files, archives, manual } = published;
  const source = (file: string, sha256: string): string[] => [
    `url "${files}/${file}"`,
    `sha256 "${sha256}"`,
  ];
  const sources = BREW_SYSTEMS.flatMap(([system, onSystem]) => [
    `  on_${onSystem} do`,
    ...BREW_PROCESSORS.flatMap(([processor, onProcessor]) => {
      const archive = archives.find(
        (each) => each.system === system && each.processor === processor,
      );
      if (archive === undefined) throw new Error(`no archive for ${system} on ${processor}`);
      const lines = source(archive.file, archive.sha256).map((line) => `      ${line}`);
      return [`    on_${onProcessor} do`, ...lines, "    end"];
    }),
    "  end",
  ]);
  return `class KubeSignet < Formula
  desc "${SUMMARY}"
  homepage "${home}"
  version "${version}"
  license "Apache-2.0"

${sources.join("\n")}

  resource "manual" do
${source(manual.file, manual.sha256)
  .map((line) => `    ${line}`)
  .join("\n")}
  end

  def install
    bin.install "signet", "signet-kubeseal"
    # Homebrew hands :pwsh over as "powershell".
    generate_completions_from_executable(bin/"signet", "completion", shells: [:bash, :zsh, :fish, :pwsh])
    resource("manual").stage { man1.install Dir["*.1"] }
  end

  def caveats
    <<~EOS
      signet-kubeseal can replace kubeseal. No program named kubeseal was installed or
      changed. To use this one as kubeseal:
        ln -s "#{opt_bin}/signet-kubeseal" "#{HOMEBREW_PREFIX}/bin/kubeseal"
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/signet --version")
  end
end
`;
}
