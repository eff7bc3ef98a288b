// Reads fields of a kubeconfig with the types that Go gives them: a missing field and null are the
// empty value, and any other type is an error that names the field and quotes nothing.

import { dirname, resolve } from "node:path";
import { decodeBase64 } from "../../shared/base64.ts";
import { SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";

/** The fields of one object. */
export class TypedFields {
  readonly file: string;
  readonly #fields: JsonObject;
  /** Where the object is in the file, such as `users[0].user`. */
  readonly #at: string;

  /** @throws SignetError io if `value` is not an object */
  constructor(value: Json | undefined, file: string, at = "") {
    this.file = file;
    this.#at = at;
    const fields = asObject(value ?? {});
    if (fields === null) throw this.wrong("", "is not a mapping");
    this.#fields = fields;
  }

  /** The error for a field; `words` follow its name. */
  wrong(field: string, words: string): SignetError {
    return new SignetError("io", `this kubeconfig cannot be read: the value ${words}`, {
      place: { file: this.file, field: this.#pathOf(field) },
      hint: "check it with `kubectl config view`",
    });
  }

  #pathOf(field: string): string {
    return this.#at === "" || field === "" ? `${this.#at}${field}` : `${this.#at}.${field}`;
  }

  has(field: string): boolean {
    return (this.#fields[field] ?? null) !== null;
  }

  value(field: string): Json {
    return this.#fields[field] ?? null;
  }

  text(field: string): string {
    const value = this.value(field) ?? "";
    if (typeof value !== "string") throw this.wrong(field, "must be text; put it in quotes");
    return value;
  }

  flag(field: string): boolean {
    const value = this.value(field) ?? false;
    if (typeof value !== "boolean") throw this.wrong(field, "must be true or false");
    return value;
  }

  texts(field: string): string[] {
    return this.#items(field).map((item) => {
      if (typeof (item ?? "") !== "string") throw this.wrong(field, "must be a list of strings");
      return (item ?? "") as string;
    });
  }

  /** Decodes a base64 field to text. */
  bytes(field: string): string {
    const decoded = decodeBase64(this.text(field));
    if (decoded === null) throw this.wrong(field, "is not valid base64");
    return Buffer.from(decoded).toString("latin1");
  }

  /** A path, resolved against the folder of the file. */
  path(field: string): string {
    const path = this.text(field);
    return path === "" ? "" : resolve(dirname(this.file), path);
  }

  object(field: string): TypedFields {
    return new TypedFields(this.value(field), this.file, this.#pathOf(field));
  }

  list(field: string): TypedFields[] {
    return this.#items(field).map(
      (item, at) => new TypedFields(item, this.file, this.#pathOf(`${field}[${at}]`)),
    );
  }

  /** Every field, read with `read`. */
  map<T>(read: (fields: TypedFields, name: string) => T): Map<string, T> {
    return new Map(Object.keys(this.#fields).map((name) => [name, read(this, name)]));
  }

  #items(field: string): Json[] {
    const value = this.value(field) ?? [];
    if (!Array.isArray(value)) throw this.wrong(field, "is not a list");
    return value;
  }
}
