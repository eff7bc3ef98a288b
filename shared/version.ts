// The version that programs tell; put in by build.mjs from package.json and Git.

declare const __VERSION__: string;
declare const __COMMIT__: string;

export const VERSION = __VERSION__;

/** What `--version` prints: `0.1.0 (commit abc1234)`, or the version alone where no commit is known. */
export const BUILD = __COMMIT__ === "" ? VERSION : `${VERSION} (commit ${__COMMIT__})`;
