/** Runs on the lab's host: measures what the plan (JSON, the argument) says, prints Measured as JSON. */
import type { VmJson } from '../src/cli/print/vm.ts';
import type { Accelerator } from '../src/vmm/vmm.ts';
import { measureCalls } from './calls.ts';
import { measureCreate } from './create.ts';
import type { Measured, Plan } from './plan.ts';
import type { Series } from './statistics.ts';
import { vmsan } from './vmsan.ts';

const plan = JSON.parse(process.argv[2] ?? '') as Plan;
const series: Series[] = [];
// From here on the daemon runs and the page cache is warm.
const first = JSON.parse((await vmsan('create', '--name', 'first', '--json')).stdout) as VmJson;
await vmsan('rm', '--force', 'first');
const accelerator = first.accelerator as Accelerator;
if (plan.parts.includes('create')) series.push(...(await measureCreate(plan.rounds, accelerator)));
if (plan.parts.some((part) => part !== 'create')) {
  series.push(...(await measureCalls(plan.parts, plan)));
}
process.stdout.write(JSON.stringify({ accelerator, series } satisfies Measured));
