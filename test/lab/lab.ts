import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { build, remove, type BuildOptions } from './build.ts';
import { closed, killGroup, type ExecOptions, type ExecResult } from './command.ts';
import { settled } from './internet/control.ts';
import type { Contact } from './internet/journal.ts';
import { assertNoWayOut } from './links.ts';
import { firstLine, Machine } from './machine.ts';
import { arrivedSince, readArrivals, type Arrivals } from './packets.ts';
import { labPaths, TREE, type LabPaths } from './paths.ts';
import { readRecord, sweep } from './record.ts';

/** A moment in the lab: what reached the internet before it does not count after. */
export interface Mark {
  contacts: number;
  arrivals: readonly Arrivals[];
}

const START: Mark = { contacts: 0, arrivals: [] };

export interface LabOptions extends BuildOptions {
  /** Lower-case letters, digits, dashes. Default: random. */
  name?: string;
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
    if (process.getuid?.() !== 0) throw new Error('the lab makes namespaces: run it as root');
    const { host, internet } = await build(name, options);
    return new Lab(name, host, internet);
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

  /**
   * `log`, but for the ends of connections from before `since`: a proxy between
   * passes those on in its own time, after the client has gone.
   */
  async reached(since: Mark): Promise<Contact[]> {
    const contacts = await this.log(since);
    const begun = new Set(contacts.filter(({ event }) => event === 'connection').map(endsText));
    return contacts.filter(
      (contact) =>
        (contact.event !== 'closed' && contact.error === undefined) || begun.has(endsText(contact)),
    );
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

function endsText({ server, address, from, fromPort }: Contact): string {
  return `${server} ${address} ${from} ${fromPort}`;
}

function readJournal(file: string): Contact[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Contact);
}
