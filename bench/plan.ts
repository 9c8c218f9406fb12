import { parseArgs } from 'node:util';
import type { Accelerator } from '../src/vmm/vmm.ts';
import type { Series } from './statistics.ts';
import { Failure } from '../src/host/failure.ts';

export const PARTS = [
  'create',
  'list',
  'exec',
  'network',
  'dns',
  'proxy',
  'networks',
  'bandwidth',
] as const;
export type Part = (typeof PARTS)[number];
/** They need no VM, or have their own. */
export const WITHOUT_VM: readonly Part[] = ['dns', 'proxy', 'networks', 'bandwidth'];

/** What is measured, and how often. */
export interface Plan {
  parts: Part[];
  /** Machines booted in each way. */
  rounds: number;
  /** Runs of each command. */
  calls: number;
  /** Changes of policy through the API. */
  changes: number;
  /** Turns of each resolver, proxy and way to make a network, and seconds of each resolver's. */
  turns: number;
  seconds: number;
  /** Where the JSON goes; `-` is stdout, and the table then goes to stderr. */
  json: string | null;
}

/** What `inside.ts` found out. */
export interface Measured {
  /** The one that vmsan chose on this host; undefined when no VM was run. */
  accelerator: Accelerator | undefined;
  series: Series[];
}

export const USAGE = `npm run bench -- [options]     measures this tree's vmsan in the lab

  --parts LIST     of ${PARTS.join(', ')} (default: all)
  --rounds N       machines booted in each way (default: 7)
  --calls N        runs of each command (default: 30)
  --changes N      changes of policy through the API (default: 200)
  --turns N        turns of each resolver, proxy and way to make a network (default: 5)
  --seconds N      seconds of a resolver's turn (default: 3)
  --json FILE      every sample as JSON; - is stdout
`;

/** @throws Failure `bad_input` */
export function parsePlan(args: readonly string[]): Plan | 'help' {
  const { values } = parseOptions(args);
  if (values.help) return 'help';
  return {
    parts: (values.parts ?? PARTS.join(',')).split(',').map(part),
    rounds: count('--rounds', values.rounds ?? '7'),
    calls: count('--calls', values.calls ?? '30'),
    changes: count('--changes', values.changes ?? '200'),
    turns: count('--turns', values.turns ?? '5'),
    seconds: count('--seconds', values.seconds ?? '3'),
    json: values.json ?? null,
  };
}

function parseOptions(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const options = {
    parts: text,
    rounds: text,
    calls: text,
    changes: text,
    turns: text,
    seconds: text,
    json: text,
    help: { type: 'boolean' },
  } as const;
  try {
    return parseArgs({ args: [...args], options });
  } catch (cause) {
    throw new Failure('bad_input', (cause as Error).message, { cause });
  }
}

function part(text: string): Part {
  const found = PARTS.find((name) => name === text);
  if (found !== undefined) return found;
  throw new Failure('bad_input', `--parts: "${text}" is none of ${PARTS.join(', ')}`);
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (/^\d{1,5}$/.test(text) && value > 0) return value;
  throw new Failure('bad_input', `${flag}: "${text}" is not a number from 1 to 99999`);
}
