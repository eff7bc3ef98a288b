// The page on which people seal, from a controller whose chart turns it on, in a real browser: what is
// sealed there is applied, and the Secret comes to be.
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { type DevToolsPage, startChromium } from "../interop/browser/chromium.ts";
import {
  click,
  drop,
  fill,
  item,
  linesWithout,
  openPage,
  PASSWORD,
  results,
  sealNew,
  textOf,
} from "../interop/browser/sealingpage.ts";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { certificateOf, untilData } from "./objects.ts";
import { runToEnd } from "./program.ts";
import {
  chartObjects,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

let plane: ControlPlane;
let controller: RunningController;
let page: DevToolsPage;

/** The flags that the chart sets for the page. */
function flagsOfChart(): string[] {
  const [deployment] = chartObjects(
    "deployment.yaml",
    "page.enabled=true",
    "page.clusterName=prod",
  );
  const { template } = deployment?.spec as {
    template: { spec: { containers: { args: string[] }[] } };
  };
  const args = template.spec.containers.flatMap((each) => each.args);
  return args.filter((each) => each.startsWith("--page"));
}

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "shop");
  // On loopback, where `kubectl port-forward` listens: elsewhere a browser encrypts only over HTTPS.
  const flags = ["--key-size=2048", ...flagsOfChart()];
  controller = await startSignet(plane, { flags, host: "127.0.0.1" });
  page = await startChromium();
});

afterAll(async () => {
  await page.close();
  await controller.stop();
  await plane.stop();
});

async function apply(manifest: string): Promise<void> {
  const command = [partPath("kubectl"), `--kubeconfig=${await plane.kubeconfig()}`, "apply", "-f-"];
  const { status, stderr } = await runToEnd(command, { stdin: manifest });
  expect([status, stderr]).toEqual([0, ""]);
}

it("seals what becomes a Secret, and changes one value of it", async () => {
  await openPage(page, `${controller.url}/`, 1);
  const { fingerprint } = parseCertificate(await certificateOf(controller));
  expect(await textOf(page, "#clusters .cluster-fingerprint")).toBe(fingerprint);
  // The only cluster is chosen already.
  const [[heading, sealed] = ["", ""]] = Object.entries(await sealNew(page, []));
  expect(heading).toBe("prod: db.yaml");
  await apply(sealed);
  await untilData(plane, "shop", "db", { password: PASSWORD });

  await drop(page, { "db.yaml": sealed });
  await fill(page, { [`${item(0)} .item-action`]: "set" });
  await fill(page, { [`${item(0)} .item-text`]: "another" });
  await click(page, "#change-form .primary");
  const changed = (await results(page))["prod: db.yaml"] ?? "";
  expect(linesWithout(changed, "password")).toEqual(linesWithout(sealed, "password"));
  await apply(changed);
  await untilData(plane, "shop", "db", { password: "another" });
  expect(page.requests).toEqual([`${controller.url}/`]);
  expect(page.complaints).toEqual([]);
});
