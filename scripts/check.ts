import { useGo } from './bootstrap/go.ts';
import { runChecks } from './check/run.ts';

/** `npm run check`: everything that can be said about the tree without running it. */
useGo();
process.exitCode = (await runChecks()).failed === 0 ? 0 : 1;
