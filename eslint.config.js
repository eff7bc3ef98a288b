import tseslint from "typescript-eslint";

const importsOnly = (...allowed) => ({
  "no-restricted-imports": [
    "error",
    {
      patterns: [
        {
          regex: `^\\.\\./(?!${allowed.map((folder) => `(\\.\\./)*${folder}/`).join("|")})`,
          message: `only ${allowed.join(", ")} may be imported here; see docs/architecture.md`,
        },
      ],
    },
  ],
});

export default tseslint.config(
  { ignores: ["dist/", "node_modules/"] },
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
  { files: ["shared/**/*.ts"], rules: importsOnly("shared") },
  { files: ["cli/**/*.ts"], rules: importsOnly("shared") },
  { files: ["controller/**/*.ts"], rules: importsOnly("shared") },
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
