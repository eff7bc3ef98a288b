// What differs on Windows, by the rules of Windows, wherever the test runs.

import { readdirSync, readFileSync } from "node:fs";
import { join, win32 } from "node:path";
import { describe, expect, it } from "vitest";
import { findProgram } from "../../host/findprogram.ts";
import {
  callOf,
  isOpenToOthers,
  slashed,
  UnsafeArgument,
  windowsWords,
} from "../../host/platform.ts";
import { renameOver } from "../../host/renameover.ts";

describe("the path of a program on Windows", () => {
  const machine = (there: readonly string[], env: Record<string, string> = {}) => ({
    env: { Path: "C:\\Windows;relative;.;D:\\tools\\bin", ...env },
    onWindows: true,
    path: win32,
    isProgram: (path: string) => there.includes(path),
  });

  it("is found with the ending that the command leaves out, in the order of PATHEXT", () => {
    const there = [
      "D:\\tools\\bin\\kubelogin.exe",
      "D:\\tools\\bin\\code.cmd",
      "D:\\tools\\bin\\code",
    ];
    expect(findProgram("kubelogin", machine(there))).toBe("D:\\tools\\bin\\kubelogin.exe");
    expect(findProgram("kubelogin.EXE", machine(there))).toBeUndefined();
    expect(findProgram("code", machine(there))).toBe("D:\\tools\\bin\\code.cmd");
    const both = ["D:\\tools\\bin\\a.exe", "D:\\tools\\bin\\a.cmd"];
    expect(findProgram("a", machine(both, { PATHEXT: ".CMD;.EXE" }))).toBe(both[1]);
  });

  it("is never in the current folder or one that is named from there, nor a script for a program that is not there", () => {
    expect(findProgram("a", machine(["relative\\a.exe", ".\\a.exe", "a.exe"]))).toBeUndefined();
    const script = ["D:\\tools\\bin\\a.ps1", "D:\\tools\\bin\\a.js"];
    expect(findProgram("a", machine(script, { PATHEXT: ".JS;.PS1" }))).toBeUndefined();
  });

  it("may be named as a whole", () => {
    const there = ["C:\\Program Files\\x.exe"];
    expect(findProgram("C:\\Program Files\\x", machine(there))).toBe(there[0]);
  });
});

describe("the call of a program", () => {
  it("is as it is, but for batch files of Windows", () => {
    expect(callOf("/bin/a.cmd", ["%x%"], false)).toEqual({ file: "/bin/a.cmd", args: ["%x%"] });
    expect(callOf("C:\\a.exe", ["%x%"], true)).toEqual({ file: "C:\\a.exe", args: ["%x%"] });
  });

  it("of a batch file quotes each word, and takes none that the quotes do not hold", () => {
    const call = callOf("C:\\Program Files\\code.CMD", ["--wait", "a & b", "C:\\x\\"], true);
    expect(call.file).toMatch(/cmd\.exe$/);
    expect(call.args).toEqual([
      "/d",
      "/s",
      "/c",
      '""C:\\Program Files\\code.CMD" "--wait" "a & b" "C:\\x\\\\""',
    ]);
    expect(call.windowsVerbatimArguments).toBe(true);
    for (const word of ['a"b', "%PATH%", "a!b", "a\nb", "a\rb", "a\0b"]) {
      expect(() => callOf("C:\\a.bat", [word], true), word).toThrow(UnsafeArgument);
    }
  });
});

describe("an editor's command line on Windows", () => {
  it.each([
    ["notepad", ["notepad"]],
    ["  code   --wait ", ["code", "--wait"]],
    [
      '"C:\\Program Files\\Notepad++\\notepad++.exe" -multiInst -x="a b"',
      ["C:\\Program Files\\Notepad++\\notepad++.exe", "-multiInst", "-x=a b"],
    ],
    ['"C:\\without an end', ["C:\\without an end"]],
    ["", []],
  ])("%s", (line, words) => {
    expect(windowsWords(line)).toEqual(words);
  });
});

it("paths of Windows are written as Git writes them, and a backslash in a name stays elsewhere", () => {
  expect(slashed("prod\\shop\\db.yaml", "\\")).toBe("prod/shop/db.yaml");
  expect(slashed("prod/sh\\op/db.yaml", "/")).toBe("prod/sh\\op/db.yaml");
});

it("a mode says who may read a file, but not on Windows", () => {
  expect(isOpenToOthers(0o100644, 0o044, false)).toBe(true);
  expect(isOpenToOthers(0o100600, 0o077, false)).toBe(false);
  expect(isOpenToOthers(0o100666, 0o044, true)).toBe(false);
});

describe("renaming over a file that another program of Windows has open", () => {
  const busy = (code: string) => Object.assign(new Error(code), { code });
  function tried(faults: readonly string[], onWindows = true) {
    const left = [...faults];
    let pausedMs = 0;
    let calls = 0;
    const how = {
      onWindows,
      rename: () => {
        calls++;
        const code = left.shift();
        if (code !== undefined) throw busy(code);
      },
      pause: (ms: number) => void (pausedMs += ms),
    };
    let failed: unknown;
    try {
      renameOver("a", "b", how);
    } catch (error) {
      failed = error;
    }
    return { calls, pausedMs, failed };
  }

  it("is tried again until that one lets go", () => {
    expect(tried(["EPERM", "EBUSY", "EACCES"])).toMatchObject({ calls: 4, failed: undefined });
  });

  it("ends after less than a second, with the system's error", () => {
    const { calls, pausedMs, failed } = tried(Array<string>(20).fill("EPERM"));
    expect(failed).toMatchObject({ code: "EPERM" });
    expect(calls).toBe(7);
    expect(pausedMs).toBeLessThan(1000);
  });

  it("is not tried again for any other reason, nor elsewhere", () => {
    expect(tried(["ENOSPC"])).toMatchObject({ calls: 1, failed: { code: "ENOSPC" } });
    expect(tried(["EPERM"], false)).toMatchObject({ calls: 1, failed: { code: "EPERM" } });
  });
});

describe("the sources", () => {
  /** What only some systems have, and the files that know what to do on the others. */
  const SYSTEMS: readonly (readonly [RegExp, readonly string[]])[] = [
    [/process\.platform/, ["host/platform.ts", "host/trust.ts"]],
    [/process\.get[eg]?[ug]id/, ["host/platform.ts"]],
    [/(spawn|spawnSync|execFile|execFileSync)\("sh"/, ["host/shell.ts"]],
    [/["'`]\/proc\//, ["host/rootedfiles.ts"]],
    [/["'`]\/dev\/shm/, ["host/memoryfolder.ts"]],
    [/split\("\\\\"\)|\.split\(sep\)\s*\.join/, []],
  ];

  it("ask for the system, the shell and the like in these files alone", () => {
    const files = ["shared", "host", "cli", "controller", "library"].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts"))
        .map((file) => join(folder, file)),
    );
    expect(files.length).toBeGreaterThan(200);
    for (const [pattern, expected] of SYSTEMS) {
      const found = files.filter((file) => pattern.test(readFileSync(file, "utf8")));
      expect(found.sort(), pattern.source).toEqual(expected);
    }
  });
});
