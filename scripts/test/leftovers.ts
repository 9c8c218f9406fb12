import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { hierarchiesHere } from '../../src/host/cgroup.ts';
import { run } from '../../src/host/run.ts';
import { inTree } from '../tree.ts';

/** What of ours is on the machine: every entry has a name that a person can go and look for. */
export type Belongings = ReadonlySet<string>;

const FILES = () => [
  '/run/vmsan*',
  '/run/lock/vmsan*',
  '/var/lib/vmsan*',
  '/tmp/vmsan*',
  '/var/tmp/vmsan*',
  ...hierarchiesHere().map(({ base }) => `${base}/vmsan*`),
];

/** Looks at the namespace of the caller: netns, links, tables, mounts, processes and files. */
export async function belongings(): Promise<Belongings> {
  const found = new Set<string>();
  for (const name of existsSync('/run/netns') ? readdirSync('/run/netns') : []) {
    found.add(`network namespace ${name}`);
  }
  for (const name of readdirSync('/sys/class/net')) found.add(`link ${name}`);
  for (const name of await tables()) found.add(`nft ${name}`);
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')) {
    found.add(`mount ${line.split(' ')[4]}`);
  }
  for (const path of globSync(FILES())) found.add(`file ${path}`);
  for (const name of processes()) found.add(`process ${name}`);
  return found;
}

/**
 * What is there now and was not before. Asks again until nothing is or the
 * deadline passes: the kernel removes a network namespace in its own time.
 * @param deadlineMs milliseconds
 */
export async function leftSince(before: Belongings, deadlineMs = 5_000): Promise<string[]> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const left = [...(await belongings())].filter((name) => !before.has(name));
    if (left.length === 0 || performance.now() > end) return left.toSorted();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function tables(): Promise<string[]> {
  if (process.getuid?.() !== 0) return [];
  const { stdout } = await run(['nft', 'list', 'tables']);
  return stdout.split('\n').filter((line) => line !== '');
}

/** QEMUs, and whatever runs out of this tree but ourselves and who started us. */
function processes(): string[] {
  const ours = [inTree('build/'), inTree('src/'), inTree('test/'), 'qemu-system-'];
  const found: string[] = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    let words: string[];
    let stat: string;
    try {
      words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    } catch {
      continue; // It has just ended.
    }
    const program = words.slice(0, 2).join(' ');
    if (!ours.some((part) => program.includes(part))) continue;
    // proc_pid_stat(5): field 22 is the start time; a pid alone can be used again.
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    found.push(`${pid} (${words.join(' ').trim().slice(0, 120)}, started at ${startTime})`);
  }
  return found;
}
