// Flags and their environment: what is read, what is refused.
import { Command } from "commander";
import { afterEach, describe, expect, it } from "vitest";
import { readDuration } from "../../controller/flagreaders.ts";
import { addServeOptions, type ServeFlags } from "../../controller/serveflags.ts";
import { parseAddress } from "../../controller/httpserver.ts";

function parse(args: string[]): ServeFlags {
  const command = addServeOptions(new Command()).exitOverride();
  command.configureOutput({ writeErr: () => undefined });
  return command.parse(args, { from: "user" }).opts();
}

describe("flags", () => {
  afterEach(() => {
    delete process.env["SEALED_SECRETS_KEY_SIZE"];
  });

  it("have the original's defaults", () => {
    expect(parse([])).toMatchObject({
      keyPrefix: "sealed-secrets-key",
      keySize: 4096,
      keyTtl: 87_600 * 3_600_000,
      keyRenewPeriod: 720 * 3_600_000,
      myCn: "",
      keyOrderPriority: "CertNotBefore",
      allNamespaces: true,
      additionalNamespaces: [],
      acceptDeprecatedV1Data: true,
      updateStatus: true,
      listenAddr: ":8080",
      listenMetricsAddr: ":8081",
    });
  });

  it("restart no workload by default", () => {
    expect(parse([])).toMatchObject({ restartWorkloads: false, restartHoldOff: 60_000 });
    const some = parse(["--restart-workloads", "--restart-hold-off=5m"]);
    expect(some).toMatchObject({ restartWorkloads: true, restartHoldOff: 300_000 });
  });

  it("divide nothing among replicas by default, and into few parts at most", () => {
    expect(parse([]).shards).toBe(1);
    expect(parse(["--shards=16"]).shards).toBe(16);
    for (const wrong of ["0", "17", "-1", "1.5", ""]) {
      expect(() => parse([`--shards=${wrong}`])).toThrow(/--shards/);
    }
  });

  it("can be set by the environment, and the command line wins", () => {
    process.env["SEALED_SECRETS_KEY_SIZE"] = "2048";
    expect(parse([]).keySize).toBe(2048);
    expect(parse(["--key-size=3072"]).keySize).toBe(3072);
  });

  it("read truth as Go's flags do", () => {
    expect(parse(["--all-namespaces=false"]).allNamespaces).toBe(false);
    expect(parse(["--update-status"]).updateStatus).toBe(true);
    expect(parse(["--update-status=F"]).updateStatus).toBe(false);
  });

  it("keep what stands behind the first = of a pair", () => {
    expect(parse(["--privatekey-labels=a=b=c,d=e"]).privatekeyLabels).toEqual({
      a: "b=c",
      d: "e",
    });
  });

  it.each([
    ["--key-size=big", "commander.invalidArgument"],
    ["--privatekey-labels=nothing", "commander.invalidArgument"],
    ["--key-renew-period=30d", "commander.invalidArgument"],
    ["--all-namespaces=maybe", "commander.invalidArgument"],
    ["--listen-addr=8080", "commander.invalidArgument"],
    ["--key-prefix=UPPER", "commander.invalidArgument"],
    ["--key-order-priority=Alphabet", "commander.invalidArgument"],
    ["--no-such-flag", "commander.unknownOption"],
  ])("refuse %s, by its name", (flag, code) => {
    const [name = ""] = flag.split("=");
    const message = expect.stringContaining(name) as string;
    expect(() => parse([flag])).toThrow(expect.objectContaining({ code, message }));
  });

  it("read durations as Go does", () => {
    expect(["0", "1h30m", "500ms", "1.5h", "720h"].map(readDuration)).toEqual([
      0, 5_400_000, 500, 5_400_000, 2_592_000_000,
    ]);
  });

  it("read addresses to listen on", () => {
    expect(parseAddress(":8080")).toEqual({ host: undefined, port: 8080 });
    expect(parseAddress("[::1]:0")).toEqual({ host: "::1", port: 0 });
    expect(() => parseAddress("localhost:99999")).toThrow("not an address");
  });
});
