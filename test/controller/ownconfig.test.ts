// The kubeconfig that the controller is given: a fault names the file and quotes nothing of it.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { loadKubeconfig, loadOwnConfig } from "../../host/kubernetes/kubeconfig.ts";
import { errorOf, toldBy } from "../vectors/fixtures.ts";

const folder = mkdtempSync(join(tmpdir(), "signet-kubeconfig-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it.each([
  ["cut off", "users: [{name: a, user: {token: hunter2\n"],
  ["of another shape", "users:\n- {name: a, user: {token: hunter2}}\n- : hunter2 : hunter2\n"],
])("does not quote a file that is %s", async (_, text) => {
  const file = join(folder, "config");
  writeFileSync(file, text);
  const ours = (): unknown => loadOwnConfig(file);
  expect(ours).toThrow(`${file}: this kubeconfig cannot be read`);
  expect(ours).not.toThrow(/hunter2/);
  const error = await errorOf(() => loadKubeconfig({ kubeconfig: file }));
  expect(toldBy(error)).toContain("this kubeconfig cannot be read");
  expect(toldBy(error)).not.toContain("hunter2");
});

it("says why a file cannot be opened", () => {
  expect(() => loadOwnConfig(join(folder, "none"))).toThrow(/ENOENT/);
});
