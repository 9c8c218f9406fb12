import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// V8's compiled code is kept beside the bundle. Where that cannot be written
// the program starts a little slower and is the same.
if (!import.meta.url.endsWith('.ts')) {
  enableCompileCache(fileURLToPath(new URL('./compile-cache', import.meta.url)));
}
const { runCli } = await import('./program.ts');
await runCli(process.argv.slice(2));
