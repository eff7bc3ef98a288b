import tseslint from "typescript-eslint";

const forbidden = (regex) => ({
  "no-restricted-imports": [
    "error",
    {
      patterns: [{ regex, message: "only shared/ may be imported here; see docs/architecture.md" }],
    },
  ],
});

export default tseslint.config(
  { ignores: ["dist/", "dist.*/", "node_modules/"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_" },
      ],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/no-unnecessary-condition": [
        "error",
        { allowConstantLoopConditions: "only-allowed-literals" },
      ],
    },
  },
  { files: ["shared/*.ts"], rules: forbidden("^\\.\\./") },
  { files: ["shared/*/*.ts"], rules: forbidden("^\\.\\./\\.\\./") },
  { files: ["{cli,controller,library}/*.ts"], rules: forbidden("^\\.\\./(?!shared/)") },
  { files: ["cli/*/*.ts"], rules: forbidden("^\\.\\./\\.\\./(?!shared/)") },
  {
    files: ["shared/**/*.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        { name: "process", message: "shared/ knows no process" },
        { name: "fetch", message: "shared/ knows no network" },
        { name: "setTimeout", message: "shared/ knows no clock" },
      ],
    },
  },
);
