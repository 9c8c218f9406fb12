/**
 * `npm run storm`: many VMs at once and a daemon that is killed again and
 * again; see storm.ts. Prints its seed, and what was found; exits with 1 when
 * anything was.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/host/failure.ts';
import { storm, told } from './storm.ts';

const USAGE = `npm run storm -- [options]     VMs at once, and kill -9 of their daemon

  --vms N      how many (default: 20)
  --kills N    how often the daemon is killed (default: 100)
  --seed N     the same moments and commands again (default: a new one)
`;

async function main(): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { vms: text, kills: text, seed: text, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const number = (option: string, given: string | undefined, byDefault: number) => {
    if (given === undefined) return byDefault;
    if (!/^\d{1,9}$/.test(given)) throw new Error(`--${option}: "${given}" is not a number`);
    return Number(given);
  };
  const vms = number('vms', values.vms, 20);
  const kills = number('kills', values.kills, 100);
  const seed = number('seed', values.seed, Math.floor(Math.random() * 1e9));
  console.log(`storm: ${vms} VMs, ${kills} kills, seed ${seed}`);
  const start = performance.now();
  const { findings, done, frames } = await storm({ vms, kills, seed, say: console.log });
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(
    `storm: ${vms} VMs, ${kills} kills, seed ${seed}: ${seconds} s, ${frames} frames sent`,
  );
  console.log(`storm: done: ${told(done)}`);
  for (const finding of findings) console.log(`storm: FOUND ${finding}`);
  console.log(findings.length === 0 ? 'storm: nothing left, nothing open' : 'storm: see above');
  return findings.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`storm: ${messageOf(error)}\n`);
  process.exitCode = 2;
}
