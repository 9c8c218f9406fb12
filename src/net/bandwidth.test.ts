import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketOf, disciplines } from './bandwidth.ts';
import { planVm } from './plan.ts';

const VM = planVm({ subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' }, 7, 'vm-0badcafe');

test('what may wait holds two pieces of what may go at once, and is no longer than a ping may take', () => {
  for (const mbit of [1, 5, 50, 200, 1000]) {
    const rate = mbit * 1_000_000;
    const { burst, limit } = bucketOf(rate);
    assert.ok(limit >= 2 * burst, `${mbit} mbit: ${limit} after ${burst}`);
    if (mbit >= 5) assert.ok((limit * 8 * 1000) / rate < 25, `${mbit} mbit: ${limit}`);
  }
});

test('upload is shaped where the VM sends, download at its TAP; none is no discipline', () => {
  assert.deepEqual(disciplines(VM, { out: 50_000_000, in: null }), [
    'qdisc replace dev up0 root tbf rate 50000000bit burst 62500 limit 125000',
    'qdisc replace dev tap0 root pfifo',
    'qdisc delete dev tap0 root',
  ]);
  assert.deepEqual(disciplines(VM, { out: null, in: 1_000_000 }), [
    'qdisc replace dev up0 root pfifo',
    'qdisc delete dev up0 root',
    'qdisc replace dev tap0 root tbf rate 1000000bit burst 3028 limit 12112',
  ]);
});
