import { describe, expect, it } from "vitest";
import { colorOfEnvironment } from "../../cli/terminal/color.ts";
import { lineOf, shownStyled, styled } from "../../cli/terminal/line.ts";
import { table } from "../../cli/terminal/table.ts";
import { shownYaml } from "../../cli/terminal/facts.ts";

describe("color of the environment", () => {
  it.for([
    [{}, null],
    [{ NO_COLOR: "1" }, false],
    [{ NO_COLOR: "" }, null],
    [{ FORCE_COLOR: "" }, true],
    [{ FORCE_COLOR: "3" }, true],
    [{ FORCE_COLOR: "0" }, false],
    [{ NO_COLOR: "1", FORCE_COLOR: "1" }, false],
    [{ CLICOLOR_FORCE: "1" }, true],
    [{ CLICOLOR_FORCE: "0" }, null],
    [{ CLICOLOR: "0" }, false],
    [{ CLICOLOR: "0", CLICOLOR_FORCE: "1" }, true],
    [{ TERM: "dumb" }, false],
    [{ TERM: "xterm" }, null],
  ] as const)("%j: %s", ([environment, expected]) => {
    expect(colorOfEnvironment(environment)).toBe(expected);
  });
});

describe("a line", () => {
  it("has styles only where they are shown", () => {
    const line = ["a ", styled("bad", "red"), " b"];
    expect(shownStyled(line, false)).toBe("a bad b");
    expect(shownStyled(line, true)).toBe("a \u001b[31mbad\u001b[39m b");
  });

  it("lets no escape of a stranger through, in whatever part and style", () => {
    const evil = "\u001b[2J\u009b31m\u202e\u{e0041}";
    const shown = shownStyled([evil, styled(evil, "red"), evil], true);
    const harmless = "?[2J?31m??";
    expect(shown).toBe(`${harmless}\u001b[31m${harmless}\u001b[39m${harmless}`);
  });

  it("finds a command of a forge that begins in one part and ends in the next", () => {
    expect(shownStyled([":", styled(":error::x", "red")], false)).toBe("?:error::x");
    expect(shownStyled(["##", styled("[group]", "dim")], false)).toBe("?#[group]");
  });

  it("has no spaces at its end, and is a text where it has no style", () => {
    expect(lineOf(["a", "  ", " "])).toBe("a");
    expect(lineOf([styled("a", "dim"), "  "])).toEqual([{ text: "a", style: "dim" }]);
  });
});

describe("a table with styles", () => {
  it("is as wide as without them", () => {
    const rows = [
      ["STATE", "FILE"],
      [styled("stale", "yellow"), "a/b/c/d/e/f/g/h.yaml"],
    ];
    for (const width of [Infinity, 24, 20]) {
      const plain = rows.map((row) =>
        row.map((cell) => (typeof cell === "string" ? cell : cell.text)),
      );
      const shown = table(rows, width).map((line) => shownStyled(line, false));
      expect(shown).toEqual(table(plain, width));
    }
  });
});

describe("YAML", () => {
  it("has no escape and no command of a forge", () => {
    const value = { name: "a\u001b[2J", list: ["::error::x\n##[group]"] };
    const text = shownYaml(value);
    expect(text).not.toContain("\u001b");
    expect(JSON.parse(text)).toEqual(value);
    expect(shownYaml({ a: ["b"] })).toBe("a:\n- b\n");
  });
});
