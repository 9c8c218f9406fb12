import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { makeDisk } from '../src/daemon/disk.ts';
import { connectAgent } from '../src/guest/agent.ts';
import { kernelCommandLine } from '../src/guest/kernel-command-line.ts';
import { hostTscKhz } from '../src/guest/tsc.ts';
import { closeFd, listenUnix, openTap } from '../src/host/ffi.ts';
import { run } from '../src/host/run.ts';
import { locateImages } from '../src/image/images.ts';
import { planVm } from '../src/net/plan.ts';
import type { Accelerator } from '../src/vmm/vmm.ts';
import { QEMU_PROGRAM, qemuArgv } from '../src/vmm/qemu/arguments.ts';
import { firstOutput } from './first-output.ts';

const BOOT_DEADLINE_MS = 60_000;
const POOLS = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
/** One that vmsan's own VMs do not come to. */
const SLOT = 250;

export interface BareOptions {
  /** A directory of its own. */
  directory: string;
  accelerator: Accelerator;
  memoryMib: number;
  diskBytes: number;
}

/**
 * QEMU without vmsan: what somebody who scripts it well would do. The same
 * kernel, initramfs, base, machine and devices; a TAP that leads nowhere; the
 * agent told its address and run a command over the same channel. No daemon,
 * no network namespace, no rules, no user id of its own. Its disk is a copy of
 * one formatted beforehand, which is faster than to format each.
 */
export class BareQemu {
  readonly #options: BareOptions;

  private constructor(options: BareOptions) {
    this.#options = options;
  }

  /** Does what can be done once: the formatted disk, the rate of the time-stamp counter. */
  static async prepare(options: BareOptions): Promise<BareQemu> {
    mkdirSync(options.directory, { recursive: true });
    await makeDisk(join(options.directory, 'template.raw'), options.diskBytes, 0);
    await hostTscKhz();
    return new BareQemu(options);
  }

  /** Boots a machine, runs `argv` there, ends it. @returns milliseconds to the first output */
  async firstOutput(argv: string[]): Promise<number> {
    const home = join(this.#options.directory, 'machine');
    mkdirSync(home);
    const start = performance.now();
    await run(['cp', '--sparse=always', join(home, '../template.raw'), join(home, 'disk.raw')]);
    const machine = await this.#start(home);
    try {
      const agent = await connectAgent(join(home, 'agent.sock'), { deadlineMs: BOOT_DEADLINE_MS });
      const { guestIp, gatewayIp } = planVm(POOLS, SLOT, 'bare');
      await agent.client.configure({
        hostname: 'bare',
        network: { address: guestIp, gateway: gatewayIp, nameservers: [gatewayIp], mtu: 1500 },
        timeUnixNano: BigInt(Date.now()) * 1_000_000n,
        entropy: randomBytes(64),
      });
      return (await firstOutput(agent, argv)) - start;
    } finally {
      const gone = once(machine, 'close');
      machine.kill('SIGKILL');
      await gone;
      rmSync(home, { recursive: true });
    }
  }

  async #start(home: string) {
    const { accelerator, memoryMib } = this.#options;
    const tap = openTap('bare0');
    const images = await locateImages();
    const sockets = ['qmp.sock', 'agent.sock'].map((name) => listenUnix(join(home, name)));
    const files = [openSync(images.base, 'r'), openSync(join(home, 'disk.raw'), 'r+')];
    const argv = qemuArgv({
      id: 'bare',
      uid: 0,
      vcpus: 1,
      memoryMib,
      accelerator,
      ...images,
      kernelCommandLine: kernelCommandLine({ accelerator, tscKhz: await hostTscKhz() }),
      disk: join(home, 'disk.raw'),
      network: { tapFd: tap, mac: planVm(POOLS, SLOT, 'bare').guestMac },
      runDir: home,
      groups: [],
    });
    // What stands before it is vmsan's confinement.
    const bare = argv.slice(argv.indexOf(QEMU_PROGRAM) + 1);
    try {
      return spawn(QEMU_PROGRAM, bare, {
        // In the order of FDS in src/vmm/qemu/arguments.ts.
        stdio: ['ignore', 'ignore', 'inherit', ...sockets, ...files, tap],
      });
    } finally {
      for (const fd of [...sockets, tap]) closeFd(fd);
      for (const fd of files) closeSync(fd);
    }
  }
}
