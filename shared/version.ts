// Owns: the version that programs tell; put in by build.mjs from package.json.

declare const __VERSION__: string;

export const VERSION = __VERSION__;
