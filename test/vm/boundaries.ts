import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VmJson } from '../../src/cli/print/vm.ts';
import type { ExecResult } from '../lab/command.ts';
import { Lab, type Mark } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';
import { Sender } from './sender/sender.ts';

/** Under deny-all, with little memory so that it boots fast. */
const CREATE = [
  ...['create', '--name', 'web', '--memory', '128m', '--network-policy', 'deny-all'],
  ...['--publish-port', '8080'],
];

/**
 * A lab whose daemon ends (kill -9) where it is told to, with at most one VM,
 * `web`, on whose TAP somebody sends frames whenever there is one.
 */
export class DoomedLab implements AsyncDisposable {
  readonly lab: Lab;
  readonly #sender: Sender;
  readonly #pointFile: string;
  readonly #clean: string;
  /** Nothing may have come out since. */
  #shutSince: Mark;

  private constructor(lab: Lab, sender: Sender, clean: string, shutSince: Mark) {
    this.lab = lab;
    this.#sender = sender;
    this.#pointFile = pointFileOf(lab);
    this.#clean = clean;
    this.#shutSince = shutSince;
  }

  static async start(): Promise<DoomedLab> {
    const lab = await Lab.start();
    try {
      const targets = [world.website, world.otherResolver, world.lan];
      const sender = await Sender.start(
        lab,
        targets.map(({ address }) => address),
      );
      const env = { VMSAN_TEST_CRASH: pointFileOf(lab) };
      await lab.vmsan(['daemon', 'start'], { env, check: true });
      return new DoomedLab(lab, sender, await hostState(lab), await lab.mark());
    } catch (error) {
      await lab.stop();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sender[Symbol.asyncDispose]();
    await this.lab.stop();
  }

  /** Runs `vmsan`. If it starts a daemon, that one can be told to end too. */
  vmsan(args: readonly string[], options: { check?: true } = {}): Promise<ExecResult> {
    return this.lab.vmsan(args, { ...options, env: { VMSAN_TEST_CRASH: this.#pointFile } });
  }

  /** The daemon ends at the first of `points` (test-crash.ts), the next one at the second. */
  doomAt(...points: string[]): void {
    writeFileSync(this.#pointFile, points.join('\n'));
  }

  /** How many of the points have not been come to. */
  pointsLeft(): number {
    return existsSync(this.#pointFile)
      ? readFileSync(this.#pointFile, 'utf8').split('\n').length
      : 0;
  }

  spare(): void {
    rmSync(this.#pointFile, { force: true });
  }

  /** Waits until the daemon that has come to its point is dead. */
  async daemonDied(): Promise<void> {
    await until('the daemon has died', async () => (await this.stateOf('')) === 'no daemon');
  }

  /**
   * Ends the daemon at each boundary of an operation in turn, until the
   * operation comes through because it has no more: before its first step,
   * between any two, and after its last.
   * @param act starts the operation; it may fail, and wait for nothing
   * @param check what holds afterwards; the next daemon starts when it asks for something
   * @returns the number of boundaries
   */
  async atEachBoundary(
    operation: string,
    options: { act: () => Promise<unknown>; check: (stepsDone: number) => Promise<void> },
  ): Promise<number> {
    const before = await this.#sender.taken();
    for (let stepsDone = 0; ; stepsDone += 1) {
      this.doomAt(`${operation}:${stepsDone}`);
      await options.act();
      if (this.pointsLeft() > 0) {
        this.spare();
        assert.ok((await this.#sender.taken()) > before, 'no frame was sent');
        return stepsDone;
      }
      await this.daemonDied();
      try {
        await options.check(stepsDone);
      } catch (error) {
        throw new Error(`after ${operation}:${stepsDone}: ${String(error)}`, { cause: error });
      }
    }
  }

  create(): Promise<ExecResult> {
    return this.vmsan(CREATE);
  }

  start(): Promise<ExecResult> {
    return this.vmsan(['start', 'web']);
  }

  /** Makes the boot that `operation` is about fail when all is made: its machine ends, and the next one too. */
  async inVain(operation: Promise<ExecResult>): Promise<void> {
    let over = false;
    void operation.finally(() => (over = true));
    await until(
      'the guest boots, or nothing does any more',
      async () => over || (await this.#hostHas('ip -o link', /: vm-\w+@.*[<,]UP[,>]/)),
      { deadlineMs: 60_000 },
    );
    await until(
      'it has failed',
      async () => {
        // Inside the lab no others are to be seen.
        await this.lab.exec(['sh', '-c', 'kill -9 $(pgrep qemu) 2>/dev/null || :']);
        return over;
      },
      { deadlineMs: 30_000 },
    );
  }

  async #hostHas(command: string, pattern: RegExp): Promise<boolean> {
    return pattern.test((await this.lab.exec(command.split(' '))).stdout);
  }

  /** Makes sure that it is there and stopped. */
  async stopped(): Promise<VmJson> {
    if ((await this.find()) === undefined) await this.create();
    await this.vmsan(['stop', '-t', '0', 'web'], { check: true });
    return (await this.find())!;
  }

  /** Makes sure that it is there and runs. */
  async running(): Promise<VmJson> {
    if ((await this.find()) === undefined) await this.create();
    await this.vmsan(['start', 'web'], { check: true });
    return (await this.find())!;
  }

  async find(): Promise<VmJson | undefined> {
    const { stdout } = await this.vmsan(['list', '--json'], { check: true });
    return (JSON.parse(stdout) as VmJson[])[0];
  }

  /** A VM's state as the daemon's API names it, `none`, or `no daemon`; starts none. */
  async stateOf(vm: string): Promise<string> {
    const { exitCode, stdout } = await this.lab.exec([
      ...['curl', '-sS', '--unix-socket', '/run/vmsan/vmsan.sock'],
      ...['-H', 'content-type: application/json', '-d', JSON.stringify({ vm })],
      'http://vmsan/vmsan.v1.VmsanService/GetVm',
    ]);
    if (exitCode !== 0) return 'no daemon';
    const answer = JSON.parse(stdout) as { vm?: { state: string } };
    return answer.vm?.state ?? 'none';
  }

  /** From now on nothing may come out. */
  async shut(): Promise<void> {
    this.#shutSince = await this.lab.mark();
  }

  async nothingWasOpen(): Promise<void> {
    assert.deepEqual(await this.lab.arrivals(this.#shutSince), []);
  }

  async nothingIsLeft(): Promise<void> {
    assert.equal(await this.find(), undefined);
    await this.hostIsClean();
  }

  async hostIsClean(): Promise<void> {
    assert.equal(await hostState(this.lab), this.#clean);
    await this.nothingWasOpen();
  }

  /** The VM is stopped or runs whole, whichever its record says. */
  async isAsItsRecordSays(): Promise<'stopped' | 'running'> {
    const vm = await this.find();
    assert.ok(vm?.state === 'stopped' || vm?.state === 'running', vm?.state);
    if (vm.state === 'running') await this.isWhole();
    else await this.#isRecordAndDisk(vm.id);
    return vm.state;
  }

  async isWhole(): Promise<void> {
    assert.equal((await this.vmsan(['exec', 'web', 'true'])).exitCode, 0);
    const { stdout } = await this.lab.exec(['ip', 'netns']);
    assert.equal(stdout.trim().split('\n').length, 1);
    await this.nothingWasOpen();
  }

  async #isRecordAndDisk(id: string): Promise<void> {
    const state = (await hostState(this.lab))
      .replace(`${id}\n`, '')
      .replace(/^netns\n/m, '')
      .replace(/^tmpfs \/run\/netns .*\n/m, '');
    assert.equal(state, this.#clean);
    await this.nothingWasOpen();
  }
}

function pointFileOf(lab: Lab): string {
  return join(lab.paths.dir, 'crash-point');
}
