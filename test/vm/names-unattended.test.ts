import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab, type HostListener } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

const { allowed, denied, ports } = world;
const SLOW = { deadlineMs: 60_000 };
/** Asks for both names again and again, whatever comes of it. */
const LOOP = `while :; do
  for name in ${allowed.name} ${denied.name}; do curl -s -m 2 -o /dev/null http://$name/; done
  timeout 0.2 tail -f /dev/null
done`;

describe('policies by name when vmsand has died, and then the gate', () => {
  let lab: Lab;
  let web: VmJson;
  const listeners: HostListener[] = [];

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    web = await lab.vmsanJson<VmJson>([
      'create',
      '--name',
      'web',
      '--allowed-domain',
      allowed.name,
    ]);
    const background = `nohup sh -c '${LOOP}' >/dev/null 2>&1 </dev/null &`;
    await lab.vmsan(['exec', 'web', 'sh', '-c', background], { check: true });
    await reached('at first');
  });
  after(async () => {
    for (const listener of listeners) await listener.stop();
    await lab?.stop();
  });

  /** Waits for a request of the guest's that begins after now. */
  async function reached(when: string): Promise<void> {
    const mark = await lab.mark();
    const isRequest = async () =>
      (await lab.log(mark)).some(({ event, host }) => event === 'request' && host === allowed.name);
    await until(`the allowed name is reached ${when}`, isRequest, SLOW);
    const contacts = await lab.log(mark);
    assert.ok(!contacts.some(({ name, host }) => name === denied.name || host === denied.name));
  }

  async function listen(...on: number[]): Promise<void> {
    for (const port of on) listeners.push(await lab.listenOnHost(port));
  }

  async function kill(program: string): Promise<void> {
    const { stdout } = await lab.exec(['pgrep', '-f', program], { check: true });
    const pids = stdout.trim().split('\n');
    await lab.exec(['kill', '-9', ...pids], { check: true });
    const isGone = async () => (await lab.exec(['pgrep', '-f', program])).stdout === '';
    await until(`${program} is gone`, isGone, SLOW);
  }

  const heard = async () => (await Promise.all(listeners.map((one) => one.log()))).flat();

  test('without vmsand what was allowed stays so, and nothing more', async () => {
    await kill('daemon.js');
    await listen(ports.dns, ports.http, ports.https);
    await reached('without vmsand');
    assert.deepEqual(await heard(), []);
  });

  test('without either, nothing leaves, and what listens on the host hears nothing', async () => {
    await kill('gate.mjs');
    await listen(1009, 1011, 1012);
    const mark = await lab.mark();
    const sent = async () => {
      const file = `/sys/class/net/${web.id}/statistics/rx_packets`;
      return Number((await lab.exec(['cat', file], { check: true })).stdout);
    };
    const before = await sent();
    await until('the guest has tried', async () => (await sent()) >= before + 20, SLOW);
    assert.deepEqual(await heard(), []);
    assert.deepEqual(await lab.reached(mark), []);
  });

  test('the next vmsand finds all as it was', async () => {
    for (const listener of listeners.splice(0)) await listener.stop();
    await lab.vmsan(['list'], { check: true });
    await reached('again');
  });
});
