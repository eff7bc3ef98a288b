// The version that programs print. build.mjs sets it from package.json and Git.

declare const __VERSION__: string;
declare const __COMMIT__: string;

export const VERSION = __VERSION__;

/** What `--version` prints: `0.1.0 (commit abc1234)`, or just `0.1.0` if the commit is unknown. */
export const BUILD = __COMMIT__ === "" ? VERSION : `${VERSION} (commit ${__COMMIT__})`;
