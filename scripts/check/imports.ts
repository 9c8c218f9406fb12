import { join, dirname } from 'node:path';
import { filesOfTree, textOf } from './files.ts';

/**
 * Imports go one way: cli → api ← daemon, gate → the parts → host.
 * What a folder of src/ may import besides itself; src/gen is open to all.
 */
const PARTS = ['net', 'dns', 'proxy', 'vmm', 'guest', 'image', 'store'];
const MAY_IMPORT: Record<string, readonly string[]> = {
  policy: [],
  host: [],
  api: ['policy', 'host'],
  cli: ['api', 'policy', 'host'],
  audit: ['policy', 'net', 'dns', 'proxy', 'host'],
  daemon: ['api', 'policy', ...PARTS, 'audit', 'host'],
  gate: ['api', 'policy', ...PARTS, 'host'],
  ...Object.fromEntries(PARTS.map((part) => [part, ['policy', 'host']])),
};
const IMPORT = /\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g;

/** @returns one line for each import that goes the wrong way */
export function wrongImports(): string[] {
  return filesOfTree('src/**/*.ts').flatMap((file) => {
    const importer = folderOf(file);
    if (importer === 'gen') return [];
    const may = MAY_IMPORT[importer];
    if (may === undefined) return [`${file}: scripts/check/imports.ts knows no src/${importer}`];
    return importsOf(file)
      .filter((target) => !isAllowed(file, importer, may, target))
      .map((target) => `${file} imports ${target}: src/${importer} may import ${list(may)}`);
  });
}

function isAllowed(file: string, importer: string, may: readonly string[], target: string) {
  // Tests have fakes of their own.
  if (target.startsWith('test/')) return file.endsWith('.test.ts');
  if (!target.startsWith('src/')) return false;
  const imported = folderOf(target);
  return imported === importer || imported === 'gen' || may.includes(imported);
}

function importsOf(file: string): string[] {
  return [...textOf(file).matchAll(IMPORT)].map((match) => join(dirname(file), match[1] ?? ''));
}

function folderOf(path: string): string {
  return path.split('/')[1] ?? '';
}

function list(folders: readonly string[]): string {
  return folders.length === 0 ? 'nothing of ours' : `${folders.join(', ')} and gen only`;
}
