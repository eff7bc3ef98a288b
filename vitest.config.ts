import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

// Four suites, so that a machine without Go can say what it did not run: unit needs Node alone,
// interop needs the programs that Go builds, cluster needs an API server as well, and node needs root.
// A test may take long on a busy machine, and longer than what it waits for (PATIENCE_MS in
// test/cluster/program.ts), which tells more. No test has a limit of its own.
const PATIENT = {
  testTimeout: 600_000,
  hookTimeout: 600_000,
  expect: { poll: { timeout: 180_000 } },
};

export default defineConfig({
  define: {
    __VERSION__: JSON.stringify("0.0.0-test"),
    __COMMIT__: JSON.stringify(""),
    // Tests in the process need no whole page; test/interop/page.test.ts has the real one.
    __PAGE__: JSON.stringify('<script type="application/json">"SETTINGS"</script>'),
    __PAGE_POLICY__: JSON.stringify("default-src 'none'"),
    // Seen from controller/: a worker thread cannot run TypeScript, so tests need `npm run build`.
    __SANDBOX_WORKER__: JSON.stringify("../dist/sandbox-worker.mjs"),
  },
  test: {
    teardownTimeout: 60_000,
    // By default one processor would be kept free, which is half of a small machine.
    maxWorkers: availableParallelism(),
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/{shared,cli,controller,scenarios}/**/*.test.ts"],
          ...PATIENT,
        },
      },
      {
        extends: true,
        test: { name: "interop", include: ["test/interop/**/*.test.ts"], ...PATIENT },
      },
      {
        extends: true,
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          ...PATIENT,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: "node",
          include: ["test/node/**/*.test.ts"],
          ...PATIENT,
          fileParallelism: false,
        },
      },
    ],
  },
});
