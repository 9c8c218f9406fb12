import { randomBytes } from 'node:crypto';
import { mkdirSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { makeCertificates } from './certificates.ts';
import { closed, killGroup, type ExecOptions, type ExecResult } from './command.ts';
import { hostSetup, INTERNET_SETUP } from './mounts.ts';
import { settled } from './internet/control.ts';
import type { Contact } from './internet/journal.ts';
import { assertNoWayOut, joinMachines } from './links.ts';
import { firstLine, letGo, Machine } from './machine.ts';
import { arrivedSince, countArrivals, readArrivals, type Arrivals } from './packets.ts';
import { labPaths, TREE, type LabPaths } from './paths.ts';
import { claim, readRecord, sweep, writeRecord } from './record.ts';
import * as world from './world.ts';

/** A moment in the lab: what reached the internet before it does not count after. */
export interface Mark {
  contacts: number;
  arrivals: readonly Arrivals[];
}

const START: Mark = { contacts: 0, arrivals: [] };

export interface LabOptions {
  /** Lower-case letters, digits, dashes. Default: random. */
  name?: string;
  /** The lab outlives this process; `Lab.attach` finds it. Default false: it ends with it, however it ends. */
  persistent?: boolean;
  /** Told what is done next. When it throws, the start fails there. */
  onStep?: (step: string) => void;
}

/**
 * A host and a small internet in namespaces of their own, as drawn in
 * world.ts. vmsan runs on the lab's host as it would on a real one:
 *
 *     await using lab = await Lab.start();
 *     await lab.vmsan(['create', '--name', 'web']);
 */
export class Lab {
  readonly name: string;
  readonly host: Machine;
  readonly internet: Machine;
  readonly paths: LabPaths;

  private constructor(name: string, host: Machine, internet: Machine) {
    this.name = name;
    this.host = host;
    this.internet = internet;
    this.paths = labPaths(name);
  }

  /**
   * Builds a lab. Needs root.
   * @throws Error when that name is taken or a step fails; nothing is left of it then
   */
  static async start(options: LabOptions = {}): Promise<Lab> {
    const name = options.name ?? randomBytes(4).toString('hex');
    if (!/^[a-z0-9-]{1,24}$/.test(name)) throw new Error(`not a name for a lab: ${name}`);
    if (process.getuid?.() !== 0)
      throw new Error('the lab makes network namespaces: run it as root');
    const persistent = options.persistent ?? false;
    sweep();
    claim(name);
    const started: Machine[] = [];
    const paths = labPaths(name);
    const step = options.onStep ?? (() => {});
    let certificates: Promise<void> | undefined;
    try {
      step('make the namespaces');
      certificates = makeCertificates(paths);
      certificates.catch(() => {});
      makeHostFiles(paths);
      const start = async (setup: string) => {
        const machine = await Machine.start({ setup, persistent });
        started.push(machine);
        return machine;
      };
      const [host, internet] = await allOrFirstError(
        start(hostSetup(paths)),
        start(INTERNET_SETUP),
      );
      step('join them');
      await joinMachines(host, internet);
      await countArrivals(internet);
      step('make the certificates');
      await certificates;
      step('start the servers');
      await startServers(name, internet, paths);
      writeRecord(paths.dir, { host: host.holder, internet: internet.holder });
      return new Lab(name, host, internet);
    } catch (error) {
      await Promise.allSettled([certificates]);
      await remove(name, started);
      throw error;
    }
  }

  /** @returns the running lab of that name that another process started; undefined when there is none */
  static attach(name: string): Lab | undefined {
    sweep();
    const record = readRecord(name);
    if (record?.host === undefined || record.internet === undefined) return undefined;
    return new Lab(name, Machine.attach(record.host), Machine.attach(record.internet));
  }

  /** Whether all of it runs: one whose servers were killed is good for nothing but `stop`. */
  async works(): Promise<boolean> {
    if (!this.host.alive || !this.internet.alive) return false;
    return await settled(this.paths.control).then(
      () => true,
      () => false,
    );
  }

  /** Ends everything that runs in the lab and removes its files. */
  async stop(): Promise<void> {
    await remove(this.name, [this.host, this.internet]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The PEM file of the CA that the internet's servers have their certificate from. */
  get caFile(): string {
    return this.paths.ca;
  }

  /** Runs a command on the lab's host to its end; does not throw for an exit code unless `check`. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return this.host.exec(argv, options);
  }

  /** Starts a command on the lab's host, with pipes. End it with `killGroup`. */
  spawn(argv: readonly string[], options?: { env?: Record<string, string> }): ChildProcess {
    return this.host.spawn(argv, options);
  }

  /** Runs a command on the internet's side: as some other machine, which knows the host. */
  internetExec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return this.internet.exec(argv, options);
  }

  /** Runs this tree's `vmsan` on the lab's host, with default settings. */
  vmsan(args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return this.exec([`${TREE}/bin/vmsan`, ...args], { timeoutMs: 120_000, ...options });
  }

  /**
   * Runs `vmsan … --json`.
   * @returns what it printed, parsed
   * @throws Error when it fails, or prints something else than one JSON value
   */
  async vmsanJson<T = unknown>(args: readonly string[], options: ExecOptions = {}): Promise<T> {
    const { stdout } = await this.vmsan([...args, '--json'], { ...options, check: true });
    try {
      return JSON.parse(stdout) as T;
    } catch (cause) {
      throw new Error(`vmsan ${args.join(' ')} --json printed: ${stdout}`, { cause });
    }
  }

  /** @throws Error when anything leads from the lab to the machine it runs on; see links.ts */
  async assertNoWayOut(): Promise<void> {
    await assertNoWayOut(this.host, this.internet);
  }

  /** Now, to compare with later: `lab.log(mark)`, `lab.packetsTo(address, { since: mark })`. */
  async mark(): Promise<Mark> {
    const [contacts, arrivals] = await Promise.all([this.log(), readArrivals(this.internet)]);
    return { contacts: contacts.length, arrivals };
  }

  /** What reached the internet's servers, oldest first. */
  async log(since: Mark = START): Promise<Contact[]> {
    await settled(this.paths.control);
    return readJournal(this.paths.journal).slice(since.contacts);
  }

  /** Every packet that came into the internet, by destination; servers or not, IPv4 and IPv6. */
  async arrivals(since: Mark = START): Promise<Arrivals[]> {
    return arrivedSince(await readArrivals(this.internet), since.arrivals);
  }

  /** The number of packets that came for `address`: all, or those to one port. */
  async packetsTo(
    address: string,
    options: { protocol?: 'tcp' | 'udp'; port?: number; since?: Mark } = {},
  ): Promise<number> {
    const { protocol, port } = options;
    const arrivals = await this.arrivals(options.since);
    return arrivals
      .filter((one) => one.address === address && one.protocol === protocol && one.port === port)
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  /** Starts HTTP (TCP) and echo (UDP) on a port of the lab's host, on all of its addresses. */
  async listenOnHost(port: number): Promise<HostListener> {
    const listener = `${TREE}/test/lab/host-listener.ts`;
    const child = this.spawn([process.execPath, listener, this.name, String(port)]);
    await firstLine(child, `the listener on port ${port}`);
    const paths = this.paths.listener(port);
    const stop = async () => {
      const gone = closed(child);
      killGroup(child);
      await gone;
      for (const file of Object.values(paths)) rmSync(file, { force: true });
    };
    return {
      port,
      stop,
      log: async () => {
        await settled(paths.control);
        return readJournal(paths.journal);
      },
      [Symbol.asyncDispose]: stop,
    };
  }
}

export interface HostListener extends AsyncDisposable {
  port: number;
  /** What reached it so far. */
  log(): Promise<Contact[]>;
  stop(): Promise<void>;
}

function makeHostFiles(paths: LabPaths): void {
  for (const dir of [paths.etc, paths.etcWork, paths.varLib, paths.varLibWork, paths.sys]) {
    mkdirSync(dir, { mode: 0o755 });
  }
  writeFileSync(`${paths.etc}/resolv.conf`, `nameserver ${world.resolver.address}\n`);
  writeFileSync(`${paths.etc}/hosts`, '127.0.0.1 localhost\n::1 localhost\n');
}

async function startServers(name: string, internet: Machine, paths: LabPaths): Promise<void> {
  const errors = openSync(paths.internetErrors, 'a', 0o600);
  try {
    const argv = [process.execPath, `${TREE}/test/lab/internet/main.ts`, name];
    const child = internet.spawn(argv, { stdio: ['ignore', 'pipe', errors] });
    await firstLine(child, "the lab's internet").catch((cause: unknown) => {
      throw new Error(readFileSync(paths.internetErrors, 'utf8').trim(), { cause });
    });
    letGo(child);
  } finally {
    closeSync(errors);
  }
}

/** Waits for both, even when one fails: what the other made must be known to be removed. */
async function allOrFirstError<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

/** Tries every step, whatever fails; throws what failed. */
async function remove(name: string, machines: readonly Machine[]): Promise<void> {
  const results = await Promise.allSettled(machines.map((machine) => machine.stop()));
  const failed = results.filter((result) => result.status === 'rejected');
  if (failed.length > 0) {
    throw new AggregateError(
      failed.map(({ reason }) => reason as unknown),
      `lab ${name} does not stop`,
    );
  }
  rmSync(labPaths(name).dir, { recursive: true, force: true });
}

function readJournal(file: string): Contact[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Contact);
}
