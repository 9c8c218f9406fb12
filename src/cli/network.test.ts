import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Program } from './testing/program.ts';
import { DENY_JSON, WEB } from './testing/web.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

test('network: shows, or replaces and prints the receipt', async () => {
  const requests: unknown[] = [];
  await using daemon = await fakeDaemon({
    getVm: () => ({ vm: WEB }),
    getUsage: () => ({}),
    setNetwork: ({ policy, allowedDomains, allowedCidrs, deniedCidrs, dryRun }) => {
      requests.push({ policy, allowedDomains, allowedCidrs, deniedCidrs, dryRun });
      return {
        id: 'vm-00000001',
        name: 'web',
        before: { policy: 'allow-all', generation: 2, defaultVerdict: 'allow' },
        after: {
          policy: 'custom',
          generation: 3,
          defaultVerdict: 'deny',
          allowedDomains,
          allowedCidrs,
        },
        effectiveMs: dryRun ? 0 : 1.25,
        flowsClosed: 2,
        connectionsClosed: dryRun ? 0 : 1,
        leasesDropped: 1,
        notices: ['only the list is reachable'],
      };
    },
  });
  const shown = await vmsan.run(['network', 'web', '--json'], daemon);
  assert.deepEqual(JSON.parse(shown.stdout), {
    id: 'vm-00000001',
    name: 'web',
    network: DENY_JSON,
    counters: null,
  });
  const change = [
    'network',
    'web',
    '--allowed-domain',
    '*.github.com',
    '--allowed-cidr',
    '10.0.0.0/8',
  ];
  const receipt = await vmsan.run(change, daemon);
  assert.match(
    receipt.stdout,
    /^web: allow-all -> custom \(default deny, allowed \*\.github\.com 10\.0\.0\.0\/8\) \(generation 3, in force after 1\.\d ms, 3 flows closed, 1 lease dropped\)\n$/,
  );
  assert.equal(receipt.stderr, 'only the list is reachable\n');
  const json = await vmsan.run([...change, '--json'], daemon);
  const lists = { allowedCidrs: [], deniedCidrs: [], openedCidrs: [], allowedDomains: [] };
  const bandwidth = { out: null, in: null };
  const publishedPorts: unknown[] = [];
  const before = {
    policy: 'allow-all',
    generation: 2,
    default: 'allow',
    ...lists,
    bandwidth,
    publishedPorts,
  };
  assert.deepEqual(JSON.parse(json.stdout), {
    id: 'vm-00000001',
    name: 'web',
    before,
    after: {
      ...before,
      policy: 'custom',
      generation: 3,
      default: 'deny',
      allowedCidrs: ['10.0.0.0/8'],
      allowedDomains: ['*.github.com'],
    },
    effectiveMs: 1.25,
    flowsClosed: 2,
    connectionsClosed: 1,
    leasesDropped: 1,
  });
  const dry = await vmsan.run([...change, '--dry-run'], daemon);
  assert.deepEqual(dry.stdout.split('\n'), [
    'web: nothing was changed; it would be, with 2 flows closed, 1 lease dropped:',
    '  policy: allow-all -> custom',
    '  default: allow -> deny',
    '+ allowed *.github.com',
    '+ allowed 10.0.0.0/8',
    '',
  ]);
  const asked = {
    policy: '',
    allowedDomains: ['*.github.com'],
    allowedCidrs: ['10.0.0.0/8'],
    deniedCidrs: [],
  };
  assert.deepEqual(requests, [
    { ...asked, dryRun: false },
    { ...asked, dryRun: false },
    { ...asked, dryRun: true },
  ]);
});

test('network: limits alone are named alone, and the receipt speaks of them alone', async () => {
  const requests: unknown[] = [];
  const network = { policy: 'deny-all', generation: 2, defaultVerdict: 'deny' };
  await using daemon = await fakeDaemon({
    setNetwork: ({ policy, bandwidthOut, bandwidthIn, dryRun }) => {
      requests.push({ policy, bandwidthOut, bandwidthIn });
      return {
        id: 'vm-00000001',
        name: 'web',
        before: { ...network, bandwidthIn: 1_000_000n },
        after: { ...network, bandwidthOut: 50_000_000n },
        effectiveMs: dryRun ? 0 : 12.5,
      };
    },
  });
  const change = ['network', 'web', '--bandwidth', '50mbit'];
  assert.equal(
    (await vmsan.run([...change, '--bandwidth-in', 'none'], daemon)).stdout,
    'web: bandwidth out: none -> 50mbit, bandwidth in: 1mbit -> none (in force after 12.5 ms)\n',
  );
  const dry = await vmsan.run([...change, '--dry-run'], daemon);
  assert.match(dry.stdout, /^ {2}bandwidth out: none -> 50mbit$/m);
  const json = await vmsan.run([...change, '--json'], daemon);
  assert.partialDeepStrictEqual(JSON.parse(json.stdout), {
    before: { bandwidth: { out: null, in: 1_000_000 } },
    after: { bandwidth: { out: 50_000_000, in: null } },
  });
  assert.deepEqual(requests, [
    { policy: '', bandwidthOut: 50_000_000n, bandwidthIn: 0n },
    { policy: '', bandwidthOut: 50_000_000n, bandwidthIn: undefined },
    { policy: '', bandwidthOut: 50_000_000n, bandwidthIn: undefined },
  ]);
});
