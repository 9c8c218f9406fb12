import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { unpack } from './unpack.ts';

const SIGNATURE_MARK = '~Module signature appended~\n';

export interface Module {
  /** As in the kernel's own list: `virtio_blk.ko`. */
  file: string;
  content: Buffer;
}

/**
 * The modules `wanted` of an unpacked kernel package, each after those it
 * depends on. The package has no modules.dep (depmod makes it at installation),
 * so the modules themselves are asked.
 * @param directory lib/modules/<release>
 * @throws Error when one is neither there nor built in
 */
export async function modulesInOrder(
  directory: string,
  wanted: readonly string[],
): Promise<Module[]> {
  const paths = new Map(
    globSync('kernel/**/*.ko{,.xz,.zst,.gz}', { cwd: directory }).map((path) => [
      plainName(path),
      path,
    ]),
  );
  const builtIn = new Set(
    readFileSync(join(directory, 'modules.builtin'), 'utf8').split('\n').map(plainName),
  );
  const ordered = new Map<string, Module>();
  const add = async (name: string): Promise<void> => {
    if (ordered.has(name) || builtIn.has(name)) return;
    const path = paths.get(name);
    if (path === undefined) throw new Error(`the kernel has no module ${name}`);
    const content = unsigned(await unpack(readFileSync(join(directory, path))));
    for (const other of dependencies(content)) await add(other);
    ordered.set(name, { file: `${name}.ko`, content });
  };
  for (const name of wanted) await add(plainName(name));
  return [...ordered.values()];
}

/** `kernel/fs/virtio-rng.ko.xz` and `virtio-rng` are both virtio_rng to the kernel. */
function plainName(path: string): string {
  return basename(path)
    .replace(/\.ko.*$/, '')
    .replaceAll('-', '_');
}

/**
 * A module without its signature (Linux, admin-guide/module-signing.rst):
 *
 *     module, signature, struct module_signature (12 bytes, its last 4 are the
 *     signature's length, big-endian), SIGNATURE_MARK
 *
 * Checking them costs a tenth of a second of emulated boot, and protects nothing:
 * the agent that loads them comes in the same file.
 */
function unsigned(module: Buffer): Buffer {
  const end = module.length - SIGNATURE_MARK.length;
  if (module.toString('latin1', Math.max(end, 0)) !== SIGNATURE_MARK) return module;
  return module.subarray(0, end - 12 - module.readUInt32BE(end - 4));
}

/** The section .modinfo is a run of NUL-terminated `key=value`; there is one `depends`. */
function dependencies(module: Buffer): string[] {
  const key = '\0depends=';
  const start = module.indexOf(key);
  if (start < 0) return [];
  const from = start + key.length;
  const text = module.toString('latin1', from, module.indexOf(0, from));
  return text === '' ? [] : text.split(',').map(plainName);
}
