// Owns: the declarations of the library's entries, each in one file: what an entry exports and what
// that needs, and nothing of Node's own types.
// Does not own: which names are public (library/).
import { basename, dirname, resolve } from "node:path";
import ts from "typescript";

/**
 * Text of a `.d.ts` by entry.
 * @throws Error where two declarations that are needed have one name, or a type comes from elsewhere
 */
export function declarationsOf(root, entries) {
  const files = entries.map((entry) => resolve(root, entry));
  const { config } = ts.readConfigFile(resolve(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  const program = ts.createProgram(files, {
    ...options,
    types: [],
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
  });
  const modules = new Map();
  program.emit(undefined, (path, text) => {
    const source = path.replace(/\.d\.ts$/, ".ts");
    modules.set(source, readModule(source, text));
  });
  return new Map(files.map((file) => [file, bundle(modules, file)]));
}

/** The statements of a module by the names that they declare, and where its other names come from. */
function readModule(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
  const declared = new Map();
  const imported = new Map();
  const exported = new Map();
  for (const statement of source.statements) {
    const from = statement.moduleSpecifier?.text;
    const target = from?.startsWith(".") ? resolve(dirname(path), from) : from;
    if (ts.isImportDeclaration(statement)) {
      const { name, namedBindings } = statement.importClause ?? {};
      if (name !== undefined) imported.set(name.text, { from: target, name: "default" });
      if (namedBindings === undefined) continue;
      if (ts.isNamespaceImport(namedBindings)) {
        imported.set(namedBindings.name.text, { from: target, name: "*" });
        continue;
      }
      for (const { name, propertyName } of namedBindings.elements) {
        imported.set(name.text, { from: target, name: (propertyName ?? name).text });
      }
    } else if (ts.isExportDeclaration(statement)) {
      if (statement.exportClause === undefined) continue;
      for (const { name, propertyName } of statement.exportClause.elements) {
        exported.set(name.text, { from: target ?? path, name: (propertyName ?? name).text });
      }
    } else {
      const names = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.map(({ name }) => name.text)
        : [statement.name?.text];
      for (const name of names) {
        if (name === undefined) continue;
        declared.set(name, [...(declared.get(name) ?? []), statement]);
        if (statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) {
          exported.set(name, { from: path, name });
        }
      }
    }
  }
  return { path, declared, imported, exported };
}

function bundle(modules, entry) {
  /** Statements that are needed, with the name that each is public under, if it is. */
  const needed = new Map();
  const owners = new Map();
  const need = (place, publicName) => {
    const module = modules.get(place.from);
    if (module === undefined) {
      throw new Error(`${basename(entry)}: the type ${place.name} comes from ${place.from}`);
    }
    const further = module.declared.has(place.name)
      ? undefined
      : (module.imported.get(place.name) ?? module.exported.get(place.name));
    if (further !== undefined) return need(further, publicName);
    const name = publicName ?? place.name;
    const owner = owners.get(name) ?? place;
    if (owner.from !== place.from || owner.name !== place.name) {
      throw new Error(`${basename(entry)}: ${name} is of ${owner.from} and of ${place.from}`);
    }
    owners.set(name, place);
    for (const statement of module.declared.get(place.name) ?? []) {
      const known = needed.get(statement);
      if (known !== undefined) {
        known.publicName ??= publicName;
        continue;
      }
      needed.set(statement, { publicName, name: place.name });
      for (const used of namesIn(statement)) {
        if (module.declared.has(used)) need({ from: module.path, name: used });
        else if (module.imported.has(used)) need(module.imported.get(used));
      }
    }
  };
  const { exported } = modules.get(entry);
  for (const [publicName, place] of exported) need(place, publicName);
  const texts = [...needed].map(([statement, names]) => print(statement, names));
  // Without this line, all that is declared would be exported.
  return `${texts.join("\n\n")}\n\nexport {};\n`;
}

/** Identifiers that may refer to a declaration; names of members and parameters do not. */
function namesIn(statement) {
  const names = new Set();
  const visit = (node) => {
    const { parent } = node;
    const isMember = parent?.name === node || (ts.isQualifiedName(parent) && parent.right === node);
    if (ts.isIdentifier(node) && !isMember) names.add(node.text);
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(statement, visit);
  return names;
}

function print(statement, { publicName, name }) {
  const comments = ts.getJSDocCommentsAndTags(statement).filter(ts.isJSDoc);
  const doc = comments.map((comment) => `${comment.getText()}\n`).join("");
  const bare = statement.getText().replace(/^(?:export )?(?:declare )?/, "");
  const renamed =
    publicName === undefined || publicName === name
      ? bare
      : bare.replace(new RegExp(`\\b${name}\\b`), publicName);
  const declared = /^(interface|type) /.test(renamed) ? renamed : `declare ${renamed}`;
  return `${doc}${publicName === undefined ? "" : "export "}${declared}`;
}
