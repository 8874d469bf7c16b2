/**
 * The house's rules, held by a test: which folder may import which, where Node and the browser may appear, and that no
 * imports run in a ring. `import type`, `export … from` and dynamic `import()` count like any other import. Test files
 * are exempt.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

/** Folder -> the folders that it may import besides itself. All may import the leaves. */
const arrows: Record<string, readonly string[]> = {
  onnx: [],
  program: ['onnx'],
  engine: ['program', 'onnx'],
  nets: ['program'],
  weights: ['program'],
  volume: [],
  charts: [],
  dataset: ['volume'],
  evaluate: ['volume', 'charts'],
  predict: ['nets', 'program', 'engine', 'weights', 'volume', 'dataset'],
  train: ['nets', 'program', 'engine', 'weights', 'volume', 'charts', 'dataset', 'predict', 'evaluate'],
  cli: ['anything'],
};
const leaves = ['tensor.ts', 'errors.ts', 'crc32.ts', 'mixBits.ts', 'wholeFiles.node.ts'];
/** The public lists may import anything too. No folder has `cli` in its list, so none may import it. */
const publicLists = ['index.ts', 'index.node.ts'];

/** Node's modules and globals, and every file that uses them, stay in these files. */
const mayUseNode = (file: string) => file.startsWith('cli/') || file.endsWith('.node.ts') || file === 'engine/node.ts';
const nodeGlobals = ['process', 'Buffer', '__dirname', '__filename', 'require', 'setImmediate', 'console'];

const mayUseDom = (file: string) => file === 'engine/web.ts';
const domGlobals = [
  'window',
  'document',
  'navigator',
  'location',
  'localStorage',
  'Image',
  'Worker',
  'OffscreenCanvas',
];

/** ONNX Runtime's packages -> the one file that may load each; its shared types may be named anywhere in `engine/`. */
const runtimes: Record<string, (file: string, typeOnly: boolean) => boolean> = {
  'onnxruntime-node': (file) => file === 'engine/node.ts',
  'onnxruntime-web': (file) => file === 'engine/web.ts',
  'onnxruntime-common': (file, typeOnly) => typeOnly && file.startsWith('engine/'),
};

const forbiddenFolders = ['utils', 'util', 'helpers', 'common', 'misc', 'shared', 'lib'];

interface Import {
  specifier: string;
  typeOnly: boolean;
}

interface SourceFile {
  imports: Import[];
  /** Names that are used as values and that the file neither declares nor imports. */
  globals: Set<string>;
}

/** Imports and global names of one TypeScript text. */
function readSource(text: string): SourceFile {
  const root = ts.createSourceFile('source.ts', text, ts.ScriptTarget.ES2023, true);
  const imports: Import[] = [];
  const used = new Set<string>();
  const declared = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      const typeOnly = ts.isImportDeclaration(node)
        ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        : node.isTypeOnly;
      if (node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
        imports.push({ specifier: node.moduleSpecifier.text, typeOnly });
      }
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments;
      if (ts.isStringLiteralLike(specifier)) imports.push({ specifier: specifier.text, typeOnly: false });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      imports.push({ specifier: (node.argument.literal as ts.StringLiteral).text, typeOnly: true });
    } else if (ts.isIdentifier(node)) {
      const { parent } = node;
      const isName = 'name' in parent && parent.name === node;
      const namesMember = ts.isTypeElement(parent) || ts.isClassElement(parent) || ts.isObjectLiteralElement(parent);
      if (isName && !namesMember && !ts.isPropertyAccessExpression(parent)) declared.add(node.text);
      const isMember = isName || (ts.isQualifiedName(parent) && parent.right === node);
      const isKey = 'propertyName' in parent && parent.propertyName === node;
      if (!isMember && !isKey) used.add(node.text);
      if (ts.isShorthandPropertyAssignment(parent)) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(root);
  return { imports, globals: new Set([...used].filter((name) => !declared.has(name))) };
}

const root = fileURLToPath(new URL('../src/', import.meta.url));
const sources = new Map<string, SourceFile>(
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.ts$/.test(file) && !/\.(test|d)\.ts$/.test(file))
    .sort()
    .map((file) => [file, readSource(readFileSync(join(root, file), 'utf8'))]),
);

/** `program/operators/softmax.ts` -> `program`; a file in the root of `src` is its own folder. */
const folderOf = (file: string) => file.split('/')[0];

/** The file in `src` that a relative import names, or undefined for a package. */
const target = (file: string, { specifier }: Import) =>
  specifier.startsWith('.') ? join(dirname(file), specifier) : undefined;

function violations(rule: (file: string, source: SourceFile) => string[]): string[] {
  return [...sources].flatMap(([file, source]) => rule(file, source));
}

describe('the arrows', () => {
  test('a folder imports only the folders that its line in the table names', () => {
    expect(
      violations((file, { imports }) => {
        const from = folderOf(file);
        if (publicLists.includes(from) || from === 'cli') return [];
        const allowed = leaves.includes(from) ? [] : arrows[from];
        if (!allowed) return [`${file}: the folder ${from} is not in the table`];
        return imports
          .map((each) => target(file, each))
          .filter((to) => to !== undefined)
          .filter((to) => folderOf(to) !== from && !leaves.includes(to) && !allowed.includes(folderOf(to)))
          .map((to) => `${file} imports ${to}`);
      }),
    ).toEqual([]);
  });

  test("a leaf imports nothing; one that is for Node, Node's modules and the errors", () => {
    expect(
      leaves.flatMap((file) =>
        sources
          .get(file)!
          .imports.filter(
            ({ specifier }) =>
              !file.endsWith('.node.ts') || !(specifier.startsWith('node:') || specifier === './errors.ts'),
          )
          .map(({ specifier }) => `${file} imports ${specifier}`),
      ),
    ).toEqual([]);
  });

  test('imports never run in a ring', () => {
    const rings: string[] = [];
    const done = new Set<string>();
    const follow = (file: string, path: string[]): void => {
      if (path.includes(file)) {
        rings.push([...path.slice(path.indexOf(file)), file].join(' -> '));
        return;
      }
      if (done.has(file)) return;
      for (const each of sources.get(file)?.imports ?? []) {
        const to = target(file, each);
        if (to !== undefined) follow(to, [...path, file]);
      }
      done.add(file);
    };
    for (const file of sources.keys()) follow(file, []);
    expect(rings).toEqual([]);
  });

  test('a relative import names an existing file', () => {
    expect(
      violations((file, { imports }) =>
        imports
          .map((each) => target(file, each))
          .filter((to) => to !== undefined && !sources.has(to))
          .map((to) => `${file} imports ${to}`),
      ),
    ).toEqual([]);
  });

  test('no folder has a name under which anything fits', () => {
    const folders = new Set([...sources.keys()].flatMap((file) => file.split('/').slice(0, -1)));
    expect(forbiddenFolders.filter((name) => folders.has(name))).toEqual([]);
  });
});

describe('Node and the browser', () => {
  test("Node's modules and globals appear only in cli, *.node.ts and engine/node.ts", () => {
    expect(
      violations((file, { imports, globals }) =>
        mayUseNode(file)
          ? []
          : [
              ...imports.filter(({ specifier }) => specifier.startsWith('node:')).map((each) => each.specifier),
              ...nodeGlobals.filter((name) => globals.has(name)),
            ].map((name) => `${file} uses ${name}`),
      ),
    ).toEqual([]);
  });

  test('a file for the browser imports no file for Node', () => {
    expect(
      violations((file, { imports }) =>
        mayUseNode(file)
          ? []
          : imports
              .map((each) => target(file, each))
              .filter((to) => to !== undefined && mayUseNode(to))
              .map((to) => `${file} imports ${to}`),
      ),
    ).toEqual([]);
  });

  test('the DOM appears only in engine/web.ts', () => {
    expect(
      violations((file, { globals }) =>
        mayUseDom(file)
          ? []
          : [...globals]
              .filter((name) => domGlobals.includes(name) || /^(HTML|SVG|GPU|WebGL)\w/.test(name))
              .map((name) => `${file} uses ${name}`),
      ),
    ).toEqual([]);
  });

  test('ONNX Runtime is loaded in one file for Node and one for the browser', () => {
    expect(
      violations((file, { imports }) =>
        imports
          .filter(({ specifier, typeOnly }) => {
            const [name] = specifier.split('/');
            return name in runtimes && !runtimes[name](file, typeOnly);
          })
          .map(({ specifier }) => `${file} imports ${specifier}`),
      ),
    ).toEqual([]);
  });
});

describe('the reader of imports', () => {
  const specifiers = (text: string) => readSource(text).imports.map(({ specifier }) => specifier);

  test('sees every form of import', () => {
    expect(specifiers(`import a from './a.ts'; import type { B } from './b.ts'; export * from './c.ts';`)).toEqual([
      './a.ts',
      './b.ts',
      './c.ts',
    ]);
    expect(specifiers(`const d = await import('./d.ts'); type E = import('./e.ts').E; import './f.ts';`)).toEqual([
      './d.ts',
      './e.ts',
      './f.ts',
    ]);
  });

  test('tells a type import from one that loads', () => {
    expect(readSource(`import type { A } from 'a'; import { type B } from 'b';`).imports).toEqual([
      { specifier: 'a', typeOnly: true },
      { specifier: 'b', typeOnly: false },
    ]);
  });

  test('tells a global from a local name, a member and a key', () => {
    const { globals } = readSource(`const window = [40, 400]; show(window, view.document, { navigator: 1, Buffer });
      interface Step { process(): void } process.exit();`);
    expect([...globals].sort()).toEqual(['Buffer', 'process', 'show', 'view']);
  });
});
