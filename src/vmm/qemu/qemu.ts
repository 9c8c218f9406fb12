import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { enterGroups } from '../../host/cgroup.ts';
import { boundedFile, closeFd, listenUnix } from '../../host/ffi.ts';
import { spawnDetached } from '../../host/detached.ts';
import { Failure } from '../../host/failure.ts';
import { identify, isAlive, killProcess, type ProcessIdentity } from '../../host/process.ts';
import type { Machine, MachineSpec, Stall, Vmm } from '../vmm.ts';
import { CONSOLE_BYTES, FDS, qemuArgv } from './arguments.ts';
import { Qmp } from './qmp.ts';
import { needsOf } from './needs.ts';

const CONNECT_DEADLINE_MS = 10_000;

/**
 * What QEMU may write to its stdout and stderr. Its guest can make it write, so
 * it is a file that does not grow: `tr -d '\0' </proc/<pid>/fd/2` shows it.
 */
const LOG_BYTES = 65_536;

/** QEMU's `microvm` machine, confined: own uid, no network, no capabilities, no new programs. */
export const qemu: Vmm = {
  needs: needsOf,

  async start(spec) {
    const log = boundedFile('qemu.log', LOG_BYTES);
    try {
      const child = launch(spec, log);
      const ended = new Promise<Failure | null>((resolve) => {
        child.once('error', ({ message }) => {
          resolve(new Failure('unavailable', `QEMU cannot be started: ${message}`));
        });
        child.once('exit', () => resolve(null));
      });
      const process = child.pid === undefined ? null : identify(child.pid);
      // Before it has become QEMU: that is three programs away.
      if (process !== null) enterGroups(spec.groups, process.pid);
      try {
        const qmp = await Qmp.connect(qmpSocket(spec.runDir), CONNECT_DEADLINE_MS);
        if (process !== null) {
          const machine = new QemuMachine(process, spec.runDir, qmp);
          child.once('exit', (code, signal) => (machine.exited = signal ?? `exit code ${code}`));
          return machine;
        }
      } catch {
        // Its own words, below, say more than its end of the connection.
        if (process !== null) killProcess(process);
      }
      throw (await ended) ?? new Failure('internal', `QEMU ended at once: ${lastWords(log)}`);
    } finally {
      closeFd(log);
    }
  },

  async adopt(process, runDir) {
    if (!isAlive(process)) return null;
    try {
      const qmp = await Qmp.connect(qmpSocket(runDir), CONNECT_DEADLINE_MS);
      const machine = new QemuMachine(process, runDir, qmp);
      await machine.lookForStall();
      return machine;
    } catch (error) {
      if (!isAlive(process)) return null;
      throw error;
    }
  },
};

class QemuMachine implements Machine {
  readonly process: ProcessIdentity;
  readonly agentSocket: string;
  readonly ended: Promise<void>;
  exited: string | null = null;
  readonly #qmp: Qmp;
  #console = '';
  #consoleRead = 0;
  #stall: Stall | null = null;
  readonly #firstStall = Promise.withResolvers<void>();

  constructor(process: ProcessIdentity, runDir: string, qmp: Qmp) {
    this.process = process;
    this.agentSocket = agentSocket(runDir);
    this.ended = qmp.closed;
    this.#qmp = qmp;
    qmp.onEvent = (name, { action, nospace }) => {
      if (name === 'RESUME') this.#stall = null;
      else if (name === 'BLOCK_IO_ERROR' && action === 'stop') this.#standStill(nospace === true);
    };
  }

  get stall(): Stall | null {
    return this.#stall;
  }

  get stalled(): Promise<void> {
    return this.#firstStall.promise;
  }

  /** Finds out what QEMU told somebody else, before us (qapi/run-state.json, qapi/block-core.json). */
  async lookForStall(): Promise<void> {
    const { status } = (await this.#qmp.execute('query-status')) as { status?: unknown };
    if (status !== 'io-error') return;
    const devices = (await this.#qmp.execute('query-block')) as { 'io-status'?: unknown }[];
    this.#standStill(devices.some((device) => device['io-status'] === 'nospace'));
  }

  async pause(): Promise<void> {
    await this.#qmp.execute('stop');
  }

  async resume(): Promise<void> {
    await this.#qmp.execute('cont');
  }

  #standStill(noSpace: boolean): void {
    this.#stall = noSpace ? 'no space' : 'write error';
    this.#firstStall.resolve();
  }

  get consoleRead(): number {
    return this.#consoleRead;
  }

  async consoleTail(): Promise<string> {
    const read = { device: 'console', size: CONSOLE_BYTES };
    const fresh = String(await this.#qmp.execute('ringbuf-read', read));
    // QEMU forgets what was read.
    this.#console = (this.#console + fresh).slice(-CONSOLE_BYTES);
    this.#consoleRead += fresh.length;
    return this.#console;
  }

  async kill(): Promise<void> {
    killProcess(this.process);
    // QEMU's end of the connection closes when the kernel has ended it.
    await this.ended;
  }
}

function launch(spec: MachineSpec, log: number): ChildProcess {
  // Of a machine that ended: a path cannot be bound twice.
  for (const path of [qmpSocket(spec.runDir), agentSocket(spec.runDir)])
    rmSync(path, { force: true });
  // The sockets listen before QEMU starts, so nothing has to wait for them to appear.
  const qmp = listenUnix(qmpSocket(spec.runDir));
  const agent = listenUnix(agentSocket(spec.runDir));
  const base = openSync(spec.base, 'r');
  const disk = openSync(spec.disk, 'r+');
  try {
    const tap = spec.network === null ? [] : [spec.network.tapFd];
    return spawnDetached(qemuArgv(spec), { log, inherit: [qmp, agent, base, disk, ...tap] });
  } finally {
    for (const fd of [qmp, agent]) closeFd(fd);
    for (const fd of [base, disk]) closeSync(fd);
  }
}

function lastWords(log: number): string {
  const bytes = Buffer.alloc(LOG_BYTES);
  readSync(log, bytes, 0, LOG_BYTES, 0);
  const text = bytes.toString().replaceAll('\0', '').trim();
  return text === '' ? 'it said nothing' : text.slice(-2000).replaceAll('\n', '; ');
}

function qmpSocket(runDir: string): string {
  return join(runDir, 'qmp.sock');
}

function agentSocket(runDir: string): string {
  return join(runDir, 'agent.sock');
}

// The order of `inherit` above, after stdin, stdout and stderr.
FDS satisfies { qmp: 3; agent: 4; base: 5; disk: 6; tap: 7 };
