// The worker threads in which what strangers wrote is parsed and rendered.
// SPEC.md, "Limits".
import { afterEach, describe, expect, it } from "vitest";
import { JobLost, Sandbox, type SandboxOptions } from "../../controller/sandbox.ts";
import { SignetError } from "../../shared/errors.ts";

const VALUES = new Map([["password", Buffer.from("hunter2-plain")]]);
/** Legal in a budget of steps, but longer than the shortest deadline. */
const LONG = new Map([["a", "{{ range until 30000 }}{{ . }}{{ end }}"]]);
const SHORT = new Map([["a", "{{ .password }}"]]);

const open: Sandbox[] = [];
afterEach(() => Promise.all(open.splice(0).map((sandbox) => sandbox.close())));

function start(options: SandboxOptions = {}): Sandbox {
  const sandbox = new Sandbox(options);
  open.push(sandbox);
  return sandbox;
}

const render = async (sandbox: Sandbox, source = "demo", templates = SHORT): Promise<string> => {
  const rendered = await sandbox.render(source, templates, VALUES);
  return [...rendered.values()].map((bytes) => Buffer.from(bytes).toString()).join();
};

const lossOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "none",
    (error: unknown) => (error instanceof JobLost ? error.loss : error),
  );

describe("Sandbox", () => {
  it("renders all templates of an object", async () => {
    const templates = new Map([
      ["a", "{{ .password }}"],
      ["b", "{{ .password | upper }}"],
    ]);
    expect(await render(start(), "demo", templates)).toBe("hunter2-plain,HUNTER2-PLAIN");
  });

  it("gives a template's error as on the main thread, without a value", async () => {
    const templates = new Map([["a.conf", "\n{{ fail .password }}"]]);
    const error = await start()
      .render("demo", templates, VALUES)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SignetError);
    expect(error).toMatchObject({
      code: "template-failed",
      message: "line 2: the template called fail",
      place: { field: "spec.template.data.a.conf" },
    });
  });

  it("parses a body as the routes do, and says what is wrong with one", async () => {
    const sandbox = start();
    const manifest =
      "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: b}\n" +
      "spec: {encryptedData: {c: AAAA}}\n";
    const { sealed, json, isList } = await sandbox.parse(
      "192.0.2.1",
      new TextEncoder().encode(manifest),
    );
    expect([isList, JSON.parse(new TextDecoder().decode(json))]).toMatchObject([
      false,
      { kind: "SealedSecret", spec: { encryptedData: { c: "AAAA" } } },
    ]);
    expect(sealed[0]?.encryptedData).toEqual(new Map([["c", "AAAA"]]));
    await expect(sandbox.parse("192.0.2.1", new Uint8Array([0xff]))).rejects.toMatchObject({
      code: "manifest-syntax",
      message: "is not UTF-8 text",
    });
  });

  it("refuses a body whose aliases write out to more than an object can be", async () => {
    const text = `a: &a ${"x".repeat(100_000)}\nb: [${"*a,".repeat(1000)}]\n`;
    await expect(start().parse("192.0.2.1", new TextEncoder().encode(text))).rejects.toMatchObject({
      message: "the object is too large",
    });
  });

  it("refuses a List of more objects than anybody asks about", async () => {
    const item = {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: {},
      spec: {},
    };
    const list = (count: number): Uint8Array<ArrayBuffer> =>
      new TextEncoder().encode(JSON.stringify({ kind: "List", items: Array(count).fill(item) }));
    const sandbox = start();
    expect((await sandbox.parse("192.0.2.1", list(1_000))).sealed).toHaveLength(1_000);
    await expect(sandbox.parse("192.0.2.1", list(1_001))).rejects.toMatchObject({
      message: "more than 1000 objects",
    });
  });

  it("ends a job at its deadline, and replaces the worker", async () => {
    const sandbox = start({ deadlineMs: 1 });
    expect(await lossOf(render(sandbox, "demo", LONG))).toBe("deadline");
    expect(await lossOf(render(sandbox, "demo", LONG))).toBe("deadline");
    expect(await render(start())).toBe("hunter2-plain");
  });

  it("ends a job that needs more than the heap, and replaces the worker", async () => {
    const sandbox = start({ heapMiB: 16 });
    const hungry = new Map([["a", "{{ .password }}".repeat(60_000)]]);
    expect(await lossOf(render(sandbox, "demo", hungry))).toBe("memory");
    expect(await render(sandbox)).toBe("hunter2-plain");
  });

  it("lets sources take turns", async () => {
    const sandbox = start();
    const order: string[] = [];
    const flood = Array.from({ length: 20 }, async () => {
      await render(sandbox, "flood");
      order.push("flood");
    });
    const honest = render(sandbox, "honest").then(() => order.push("honest"));
    await Promise.all([...flood, honest]);
    expect(order.indexOf("honest")).toBeLessThan(3);
  });

  it("lets a source that used little time come before all that used much", async () => {
    const sandbox = start({ deadlineMs: 600 });
    const endless = new Map([["a", "{{ range until 99000 }}{{ . }}{{ end }}"]]);
    const bomb = (source: string): Promise<unknown> => lossOf(render(sandbox, source, endless));
    await Promise.all([bomb("tenant-1"), bomb("tenant-2"), bomb("tenant-3")]);
    // Until a worker is there again: the first of the next jobs then begins at once.
    // On a busy machine it may take longer than the deadline.
    while ((await lossOf(render(sandbox, "demo"))) === "deadline");
    const order: string[] = [];
    const say = (work: Promise<unknown>, name: string): Promise<unknown> =>
      work.then(() => order.push(name));
    const all = ["tenant-1", "tenant-2", "tenant-3", "tenant-1"].map((name) =>
      say(bomb(name), name),
    );
    all.push(say(lossOf(render(sandbox, "honest")), "honest"));
    await Promise.all(all);
    expect(order.indexOf("honest")).toBe(1);
  });

  it("cancels what runs and what waits when it closes", async () => {
    const sandbox = start();
    const jobs = [render(sandbox, "demo", LONG), render(sandbox), render(sandbox, "other")];
    const losses = Promise.all(jobs.map(lossOf));
    await sandbox.close();
    expect(await losses).toEqual(["closed", "closed", "closed"]);
    expect(await lossOf(render(sandbox))).toBe("closed");
  });

  it("loses no job to a worker that ends because it was idle", async () => {
    const sandbox = start({ idleMs: 0 });
    for (let i = 0; i < 10; i++) {
      expect(await render(sandbox)).toBe("hunter2-plain");
      await new Promise((resolve) => setTimeout(resolve, i % 3));
    }
  });
});
