import type { VmJson } from '../../src/cli/print/vm.ts';
import type { Lab } from '../lab/lab.ts';
import { policiesOf, targetOf, TARGETS, type StormPolicy } from './policies.ts';

/** Longer than 20 boots on a busy host. */
const TIMEOUT_MS = 300_000;

/** What the VMs of a storm share. */
export interface Sky {
  lab: Lab;
  /** Changes when the daemon is killed. */
  epoch(): number;
  /** Something that must not be. */
  found(what: string): void;
  /** One more command that did what it was to do. */
  done(verb: string): void;
}

/** One VM of a storm: a name, what is done to it, and what must then hold. */
export class StormVm {
  readonly index: number;
  readonly name: string;
  /** Every id it ever had, as far as it was told. */
  readonly ids = new Set<string>();
  readonly #sky: Sky;
  readonly #random: () => number;
  /** Null when a command that was to change it was cut off. */
  #policy: StormPolicy | null = null;

  constructor(sky: Sky, index: number, random: () => number) {
    this.#sky = sky;
    this.index = index;
    this.name = `s${index}`;
    this.#random = random;
  }

  /** Does something to it that makes sense in the state it is in. */
  async step(): Promise<void> {
    const vm = await this.look();
    if (vm === 'unknown') return;
    const dice = this.#random();
    if (vm === undefined) await this.create();
    else if (vm.state === 'stopped') await (dice < 0.6 ? this.start() : this.remove());
    else if (dice < 0.35) await this.check();
    else if (dice < 0.75) await this.change();
    else if (dice < 0.85) await this.stop();
    else await this.remove();
  }

  create(): Promise<boolean> {
    const policy = this.#draw();
    return this.#changing(
      policy,
      'create',
      '--name',
      this.name,
      '--memory',
      '128m',
      ...policy.flags,
    );
  }

  start(): Promise<boolean> {
    return this.#run('start', this.name);
  }

  stop(): Promise<boolean> {
    return this.#run('stop', '-t', '0', this.name);
  }

  remove(): Promise<boolean> {
    return this.#run('remove', '--force', this.name);
  }

  change(): Promise<boolean> {
    const policy = this.#draw();
    return this.#changing(policy, 'network', this.name, ...policy.flags);
  }

  /** Its own target answers if its policy says so; another's does not, whatever it says. */
  async check(): Promise<void> {
    const policy = this.#policy;
    const other = TARGETS.find((address) => address !== targetOf(this.index))!;
    for (const [address, open] of [
      [targetOf(this.index), policy?.open],
      [other, false],
    ] as const) {
      const epoch = this.#sky.epoch();
      const code = await this.#fetch(address);
      // 125: vmsan failed, as it may when its daemon dies.
      if (epoch !== this.#sky.epoch() || open === undefined) continue;
      if (code === (open ? 0 : 7)) this.#sky.done('exec');
      else this.#sky.found(`${this.name}: curl ${address} gave ${code}, open: ${open}`);
    }
  }

  /** Its record; undefined when there is none, `unknown` when the daemon died of something else meanwhile. */
  async look(): Promise<VmJson | undefined | 'unknown'> {
    const epoch = this.#sky.epoch();
    const { exitCode, stdout, stderr } = await this.#vmsan('list', '--json');
    if (exitCode !== 0) {
      if (epoch === this.#sky.epoch()) this.#sky.found(`list: exited with ${exitCode}: ${stderr}`);
      return 'unknown';
    }
    const vm = (JSON.parse(stdout) as VmJson[]).find(({ name }) => name === this.name);
    if (vm !== undefined) this.ids.add(vm.id);
    // Nobody but us does anything to it: what the next daemon found half done it has settled.
    if (vm === undefined || vm.state === 'running' || vm.state === 'stopped') return vm;
    if (epoch === this.#sky.epoch()) this.#sky.found(`${this.name} is ${vm.state}`);
    return 'unknown';
  }

  #draw(): StormPolicy {
    const policies = policiesOf(this.index);
    return policies[Math.floor(this.#random() * policies.length)]!;
  }

  async #changing(policy: StormPolicy, ...args: string[]): Promise<boolean> {
    this.#policy = null;
    const done = await this.#run(...args);
    if (done) this.#policy = policy;
    return done;
  }

  async #run(...args: string[]): Promise<boolean> {
    const epoch = this.#sky.epoch();
    const { exitCode, stderr } = await this.#vmsan(...args);
    if (exitCode === 0) this.#sky.done(args[0]!);
    else if (epoch === this.#sky.epoch()) {
      this.#sky.found(`${args.join(' ')}: exited with ${exitCode}: ${stderr.trim()}`);
    }
    return exitCode === 0;
  }

  async #fetch(address: string): Promise<number> {
    const curl = ['curl', '-sS', '-o', '/dev/null', '-m', '60', `http://${address}/`];
    return (await this.#vmsan('exec', this.name, ...curl)).exitCode;
  }

  #vmsan(...args: string[]) {
    return this.#sky.lab.vmsan(args, { timeoutMs: TIMEOUT_MS });
  }
}
