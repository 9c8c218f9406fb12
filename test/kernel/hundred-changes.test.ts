import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PolicyWords } from '../../src/policy/policy.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { lookUp } from './wired/programs.ts';

const SLOT = 6;
const BYTES = 50_000_000;
const { name, address } = world.allowed;
const { echo } = world.ports;
/** Each allows the name by HTTP and on the echo server's port. */
const KEEPING: PolicyWords[] = [
  { allowedDomains: [`${name},${name}:${echo}`] },
  { allowedDomains: [`${name},${name}:${echo},*.github.com`] },
  { allowedDomains: ['*.example.com:*'], deniedCidrs: ['203.0.113.0/24', 'private'] },
  { base: 'allow-all' },
  { allowedDomains: [`${name},*.example.com:1-100`], allowedCidrs: ['10.0.0.0/8'] },
];

describe('a hundred changes of policy that keep a transfer', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(SLOT, KEEPING[0]!);
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const set = (policy: PolicyWords) =>
    networks.do({ do: 'policy', slot: SLOT, policy, generation: ++generation });

  async function transfer(...words: string[]) {
    const script = `${TREE}/test/kernel/wired/transfer.ts`;
    const child = networks.spawn(SLOT, [process.execPath, script, ...words]);
    let said = '';
    child.stdout!.on('data', (chunk: Buffer) => (said += String(chunk)));
    await until(`${words[0]} has begun`, () => said.includes('open'), { deadlineMs: 20_000 });
    return {
      said: () => said,
      /** What it says last, once it is told to come to its end. */
      end: async () => {
        child.stdin!.write('end\n');
        await until(`${words[0]} has ended`, () => child.exitCode !== null, {
          deadlineMs: 120_000,
        });
        return said;
      },
      [Symbol.dispose]: () => killGroup(child),
    };
  }

  test('it loses no byte, through the proxy and by lease', async () => {
    await until('the name resolves', async () =>
      new RegExp(`\\sA\\s${address}`).test(await lookUp(networks, SLOT, '172.16.6.1', name)),
    );
    using proxied = await transfer('download', address, name, String(BYTES));
    using leased = await transfer('echo', address, String(echo));
    for (let change = 1; change <= 100; change++) {
      await set(KEEPING[change % KEEPING.length]!);
      assert.equal(proxied.said(), 'open\n', `after ${change} changes`);
      assert.equal(leased.said(), 'open\n', `after ${change} changes`);
    }
    assert.equal(await proxied.end(), `open\n${BYTES}\n`);
    assert.match(await leased.end(), /^open\n\d+\n$/);
  });

  test('and one that forbids them ends both', async () => {
    await set(KEEPING[0]!);
    using proxied = await transfer('download', address, name, String(BYTES));
    using leased = await transfer('echo', address, String(echo));
    const receipt = await set({ allowedDomains: ['*.github.com'] });
    assert.deepEqual(receipt, { connectionsClosed: 1, leasesDropped: 1 });
    assert.match(await proxied.end(), /broken/);
    assert.match(await leased.end(), /broken/);
  });
});
