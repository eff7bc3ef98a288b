import { describe, expect, it } from "vitest";
import { checkFields, checkSurprises } from "../../cli/sealing/secretcheck.ts";
import { checkType } from "../../shared/kubernetes/typeditems.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import type { Secret } from "../../shared/kubernetes/secret.ts";

function caught(action: () => void): SignetError | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  return undefined;
}

describe("fields of a Secret", () => {
  it.for([
    ["stringdata", "did you mean stringData?"],
    ["Data", "did you mean data?"],
    ["metdata", "did you mean metadata?"],
    ["imutable", "did you mean immutable?"],
  ])("names what %s was meant to be", ([field, hint]) => {
    const error = caught(() => {
      checkFields({ kind: "Secret", [field as string]: {} });
    });
    expect(error).toMatchObject({ code: "secret-invalid", hint, place: { field } });
  });

  it("does not show a field that may be a value", () => {
    const error = caught(() => {
      checkFields({ kind: "Secret", hunter2: null });
    });
    expect(error?.code).toBe("secret-invalid");
    expect(JSON.stringify([error?.message, error?.hint, error?.place])).not.toContain("hunter2");
  });

  it("takes every field that the API server writes", () => {
    checkFields({
      apiVersion: "v1",
      kind: "Secret",
      type: "Opaque",
      immutable: false,
      data: null,
      stringData: {},
      metadata: { name: "a", uid: "u", managedFields: [], creationTimestamp: null },
    });
  });

  it.for(["__proto__", "constructor", "toString"])("refuses a field %s", (field) => {
    const [document] = parseManifests(`kind: Secret\n${field}: x\n`);
    const error = caught(() => {
      checkFields(document?.value as Record<string, never>);
    });
    expect(error?.code).toBe("secret-invalid");
  });
});

describe("surprises", () => {
  const check = (text: string): SignetError | undefined =>
    caught(() => {
      for (const document of parseManifests(text)) checkSurprises(document);
    });

  it.for(["yes", "off", "0777", "1_000", "0x1F"])("refuses %s as a value", (word) => {
    expect(check(`stringData:\n  a: ${word}\n`)).toMatchObject({
      code: "manifest-ambiguous",
      hint: "put it in quotes",
      place: { line: 2, field: "stringData.a" },
    });
  });

  it.for(["data", "metadata", "stringData"])("looks below %s, at any depth", (field) => {
    expect(check(`${field}:\n  a:\n    - b: yes\n`)?.place.field).toBe(`${field}.a.0.b`);
  });

  it("looks at the type", () => {
    expect(check("type: on\n")?.place.field).toBe("type");
  });

  it("tells the place in a List without the List", () => {
    expect(check("items:\n- data: {}\n- stringData:\n    a: no\n")?.place).toEqual({
      line: 4,
      field: "stringData.a",
    });
  });

  it("lets what is quoted pass, and what stands elsewhere", () => {
    expect(check("stringData:\n  a: \"yes\"\n  b: '0777'\n  c: text\nimmutable: yes\n")).toBe(
      undefined,
    );
  });

  it("never quotes the value", () => {
    const error = check("stringData:\n  a: 0x1F\n");
    expect(JSON.stringify([error?.message, error?.hint, error?.place])).not.toContain("0x1F");
  });
});

describe("items that a type demands", () => {
  const secret = (type: string, data: Record<string, string>, annotations = {}): Secret => ({
    metadata: { name: "a", namespace: "b", labels: {}, annotations, rest: {} },
    type,
    immutable: undefined,
    data: new Map(Object.entries(data).map(([key, text]) => [key, new TextEncoder().encode(text)])),
  });

  it.for([
    ["kubernetes.io/tls", { "tls.crt": "" }, "tls.key"],
    ["kubernetes.io/tls", { "tls.key": "" }, "tls.crt"],
    ["kubernetes.io/ssh-auth", { key: "" }, "ssh-privatekey"],
    ["kubernetes.io/dockerconfigjson", {}, ".dockerconfigjson"],
    ["kubernetes.io/dockerconfigjson", { ".dockerconfigjson": "hunter2" }, "JSON"],
    ["kubernetes.io/dockercfg", {}, ".dockercfg"],
    ["kubernetes.io/basic-auth", { user: "" }, "username or password"],
    ["kubernetes.io/service-account-token", {}, "kubernetes.io/service-account.name"],
  ] as const)("refuses %s with %j", ([type, data, missing]) => {
    const error = caught(() => {
      checkType(secret(type, data));
    });
    expect(error?.code).toBe("secret-invalid");
    expect(error?.message).toContain(missing);
    expect(error?.message).not.toContain("hunter2");
  });

  it.for([
    ["kubernetes.io/tls", { "tls.crt": "", "tls.key": "" }],
    ["kubernetes.io/basic-auth", { password: "" }],
    ["kubernetes.io/dockerconfigjson", { ".dockerconfigjson": "{}" }],
    ["bootstrap.kubernetes.io/token", {}],
    ["example.com/own", {}],
    ["", {}],
  ] as const)("takes %s with %j", ([type, data]) => {
    checkType(secret(type, data));
  });
});
