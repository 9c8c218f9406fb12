import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { rateText, UNLIMITED } from '../../src/policy/bandwidth.ts';
import { WiredNetworks } from '../../test/kernel/wired/commands.ts';
import { killGroup } from '../../test/lab/command.ts';
import type { Lab } from '../../test/lab/lab.ts';
import { TREE } from '../../test/lab/paths.ts';
import * as world from '../../test/lab/world.ts';
import type { Series } from '../statistics.ts';
import type { Reading } from './sink.ts';

const RATES = [1, 5, 50, 200, 1000].map((mbit) => mbit * 1_000_000);
/** At this one, on a real VM too. */
const VM_RATE = 50_000_000;
const PORT = 5001;
const SECONDS = 10;
const DOWNLOAD_BYTES = 50_000_000;

/** What is sent to a sink without an end. */
const SEND = `exec cat /dev/zero >/dev/tcp/${world.website.address}/${PORT}`;

/** What limits hold on the wire, for a guest without a VM and for one with. */
export async function measureBandwidth(lab: Lab): Promise<Series[]> {
  const sink = await Sink.start(lab);
  try {
    return [...(await wired(lab, sink)), ...(await inVm(lab, sink))];
  } finally {
    sink.stop();
  }
}

async function wired(lab: Lab, sink: Sink): Promise<Series[]> {
  await using networks = await WiredNetworks.start(lab);
  await networks.add(1, 'allow-all');
  const series: Series[] = [];
  for (const rate of RATES) {
    await networks.do({ do: 'bandwidth', slot: 1, bandwidth: { out: rate, in: null } });
    const sender = networks.spawn(1, ['bash', '-c', SEND]);
    const ping = () => networks.exec(1, pingArgv(), { timeoutMs: 60_000 });
    series.push(...(await underLoad(sender, sink, `bandwidth/${rateText(rate)}`, rate, ping)));
  }
  await networks.do({ do: 'bandwidth', slot: 1, bandwidth: UNLIMITED });
  await networks.do({ do: 'remove', slot: 1 });
  return series;
}

async function inVm(lab: Lab, sink: Sink): Promise<Series[]> {
  const limit = ['--bandwidth', rateText(VM_RATE)];
  await lab.vmsanJson<VmJson>(['create', '--name', 'bench', ...limit]);
  const sender = lab.spawn(['vmsan', 'exec', 'bench', 'bash', '-c', SEND]);
  const ping = () => lab.vmsan(['exec', 'bench', ...pingArgv()], { timeoutMs: 60_000 });
  const series = await underLoad(sender, sink, 'bandwidth/vm', VM_RATE, ping);
  // One after the other with and without: an emulated guest has its good and bad moments.
  const [limited, free]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < 3; turn += 1) {
    for (const [rate, samples] of [
      [rateText(VM_RATE), limited],
      ['none', free],
    ] as const) {
      await lab.vmsan(['network', 'bench', '--bandwidth', rate], { check: true });
      samples.push(await download(lab));
    }
  }
  await lab.vmsan(['rm', '--force', 'bench'], { check: true });
  const what = (how: string) => `Mbit/s that the VM downloads, ${how}`;
  return [
    ...series,
    { name: 'bandwidth/vm/download', what: what('its upload limited'), samples: limited },
    { name: 'bandwidth/vm/download/free', what: what('nothing limited'), samples: free },
  ];
}

/** @param sender sends all the while, and is ended */
async function underLoad(
  sender: ChildProcess,
  sink: Sink,
  name: string,
  rate: number,
  ping: () => Promise<{ stdout: string }>,
): Promise<Series[]> {
  try {
    // Until what may go at once has gone.
    await setTimeout(2000);
    const before = await sink.read();
    const [{ stdout }] = await Promise.all([ping(), setTimeout(SECONDS * 1000)]);
    const after = await sink.read();
    const mbit = ((after.bytes - before.bytes) * 8) / (after.atMs - before.atMs) / 1000;
    const wanted = `${rate / 1_000_000} Mbit/s wanted`;
    return [
      { name, what: `Mbit/s on the wire, over ${SECONDS} s; ${wanted}`, samples: [mbit] },
      { name: `${name}/ping`, what: 'ms: a ping meanwhile', samples: pingTimes(stdout) },
    ];
  } finally {
    killGroup(sender);
  }
}

async function download(lab: Lab): Promise<number> {
  const url = `http://${world.website.address}/bytes/${DOWNLOAD_BYTES}`;
  const argv = ['curl', '-sS', '-o', '/dev/null', '-w', '%{speed_download}', url];
  const { stdout } = await lab.vmsan(['exec', 'bench', ...argv], { check: true });
  return (Number(stdout) * 8) / 1_000_000;
}

function pingArgv(): string[] {
  return ['ping', '-i', '0.2', '-w', String(SECONDS - 1), world.website.address];
}

function pingTimes(stdout: string): number[] {
  return [...stdout.matchAll(/ time=([\d.]+) ms/g)].map(([, ms]) => Number(ms));
}

/** The server that takes it all, and what its link has received. */
class Sink {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(lab: Lab): Promise<Sink> {
    const script = `${TREE}/bench/bandwidth/sink.ts`;
    const argv = [process.execPath, script, world.router.link, String(PORT)];
    const sink = new Sink(lab.internet.spawn(argv));
    await sink.#lines.next();
    return sink;
  }

  async read(): Promise<Reading> {
    this.#child.stdin!.write('\n');
    return JSON.parse(String((await this.#lines.next()).value)) as Reading;
  }

  stop(): void {
    killGroup(this.#child);
  }
}
