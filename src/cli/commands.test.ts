import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { VmState } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure } from '../host/failure.ts';
import { fakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, BUILD, type Program } from './testing/program.ts';
import { WEB, WEB_JSON } from './testing/web.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

test('list: a table, ids alone, or the JSON schema', async () => {
  const evil = { ...WEB, id: 'vm-00000002', name: 'a\x1b[2Jb', state: VmState.STOPPED, pid: 0 };
  await using daemon = await fakeDaemon({ listVms: () => ({ vms: [WEB, evil] }) });
  const { stdout, stderr, code } = await vmsan.run(['ls'], daemon);
  const [head = '', first = '', second = ''] = stdout.split('\n');
  assert.match(head, /^ID +NAME +STATE +POLICY +GUEST IP/);
  assert.match(
    first,
    /^vm-00000001 +web +running +deny-all +172\.16\.3\.2 +1 +512 MiB +10 GiB +\d+ days ago$/,
  );
  assert.match(second, /a\\x1b\[2Jb +stopped/);
  assert.equal(stderr, '');
  assert.equal(code, 0);

  const quiet = await vmsan.run(['list', '-q'], daemon);
  assert.equal(quiet.stdout, 'vm-00000001\nvm-00000002\n');
  const json = await vmsan.run(['list', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), [
    WEB_JSON,
    { ...WEB_JSON, id: 'vm-00000002', name: evil.name, state: 'stopped', pid: null },
  ]);
});

test('list and inspect: a VM that is paused, and why', async () => {
  const notice = 'no space is left in /var/lib/vmsan';
  const paused = { ...WEB, state: VmState.PAUSED, notice };
  await using daemon = await fakeDaemon({
    listVms: () => ({ vms: [paused] }),
    getVm: () => ({ vm: paused }),
  });
  const { stdout, stderr } = await vmsan.run(['list'], daemon);
  assert.match(stdout, / web +paused /);
  assert.equal(stderr, `web: ${notice}\n`);
  const shown = await vmsan.run(['inspect', 'web'], daemon);
  assert.match(shown.stdout, /^state +paused: no space is left/m);
  const json = await vmsan.run(['list', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), [{ ...WEB_JSON, state: 'paused', notice }]);
});

test('every call says who calls', async () => {
  await using daemon = await fakeDaemon({ listVms: () => ({}) });
  await vmsan.run(['list'], daemon);
  const headers = daemon.calls[0]?.headers;
  assert.equal(headers?.get('vmsan-build'), BUILD);
  assert.match(headers?.get('vmsan-netns') ?? '', /^\d+:\d+$/);
  const settings = new URLSearchParams(headers?.get('vmsan-settings') ?? '');
  assert.equal(settings.get('VMSAN_RUN_DIR'), daemon.runDir);
});

test('create: the id on stdout, notices on stderr, the flags in the request', async () => {
  const requests: unknown[] = [];
  await using daemon = await fakeDaemon({
    async *createVm({
      name,
      vcpus,
      memoryMib,
      diskBytes,
      policy,
      allowedDomains,
      allowedCidrs,
      deniedCidrs,
      autostart,
      bandwidthOut,
      bandwidthIn,
      noNetns,
    }) {
      requests.push({
        name,
        vcpus,
        memoryMib,
        diskBytes,
        policy,
        allowedDomains,
        allowedCidrs,
        deniedCidrs,
        autostart,
        bandwidthOut,
        bandwidthIn,
        noNetns,
      });
      yield { event: { case: 'step', value: 'boot the guest' } };
      yield { event: { case: 'notice', value: 'the LAN is reachable' } };
      yield { event: { case: 'vm', value: WEB } };
    },
  });
  const plain = await vmsan.run(['create'], daemon);
  assert.equal(plain.stdout, 'vm-00000001\n');
  assert.equal(plain.stderr, 'the LAN is reachable\n');
  assert.equal(plain.code, 0);

  const flags =
    '--name web --autostart --no-netns --vcpus 2 --memory 1g --disk 500m --network-policy custom ' +
    '--bandwidth 50mbit --bandwidth-in none --allowed-domain *.GitHub.com,npmjs.org:22 ' +
    '--allowed-cidr 10.0.0.0/8,192.0.2.7 --allowed-cidr 198.51.100.0/24 --denied-cidr private --json';
  const json = await vmsan.run(['create', ...flags.split(' ')], daemon);
  assert.deepEqual(JSON.parse(json.stdout), WEB_JSON);
  const diskBytes = 10n * 1024n ** 3n;
  assert.deepEqual(requests, [
    {
      name: '',
      vcpus: 1,
      memoryMib: 512,
      diskBytes,
      policy: '',
      allowedDomains: [],
      allowedCidrs: [],
      deniedCidrs: [],
      autostart: false,
      bandwidthOut: 0n,
      bandwidthIn: 0n,
      noNetns: false,
    },
    {
      name: 'web',
      autostart: true,
      noNetns: true,
      bandwidthOut: 50_000_000n,
      bandwidthIn: 0n,
      vcpus: 2,
      memoryMib: 1024,
      diskBytes: 500n * 1024n ** 2n,
      policy: 'custom',
      allowedDomains: ['*.github.com', 'npmjs.org:22'],
      allowedCidrs: ['10.0.0.0/8', '192.0.2.7/32', '198.51.100.0/24'],
      deniedCidrs: ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'],
    },
  ]);
});

test('create: a failure in the middle of the stream is printed with cause and hint', async () => {
  await using daemon = await fakeDaemon({
    async *createVm() {
      yield { event: { case: 'step', value: 'boot the guest' } };
      throw new Failure('exhausted', 'no slot is free', {
        hint: 'vmsan rm one',
        cause: new Error('all 256 are taken'),
      });
    },
  });
  const ended = await vmsan.run(['create'], daemon);
  assert.equal(ended.stdout, '');
  assert.equal(ended.stderr, 'vmsan: no slot is free\n  all 256 are taken\nhint: vmsan rm one\n');
  assert.equal(ended.code, 1);
});

test('rm: each target is judged, failures do not stop the rest, the worst code wins', async () => {
  await using daemon = await fakeDaemon({
    removeVm({ vm, force }) {
      if (vm === 'gone') throw new Failure('not_found', 'there is no VM "gone"');
      if (vm === 'busy' && !force) {
        throw new Failure('conflict', 'busy runs', { hint: 'vmsan rm --force busy' });
      }
      return { id: `vm-${vm}`, name: vm };
    },
  });
  const all = await vmsan.run(['rm', 'a', 'busy', 'gone', 'b', 'a'], daemon);
  assert.equal(all.stdout, 'a\nb\n');
  assert.equal(
    all.stderr,
    'vmsan: busy runs\nhint: vmsan rm --force busy\nvmsan: there is no VM "gone"\n',
  );
  assert.equal(all.code, 1);
  assert.equal((await vmsan.run(['rm', 'a', 'gone'], daemon)).code, 3);
  const forced = await vmsan.run(['remove', '-f', 'busy', '--json'], daemon);
  assert.deepEqual(JSON.parse(forced.stdout), [{ id: 'vm-busy', name: 'busy' }]);
  assert.equal(forced.code, 0);
});

test('stop: the time goes along in milliseconds, each target is judged', async () => {
  const graces: number[] = [];
  await using daemon = await fakeDaemon({
    stopVm({ vm, graceMs }) {
      if (vm === 'gone') throw new Failure('not_found', 'there is no VM "gone"');
      graces.push(graceMs);
      return { vm: { ...WEB, name: vm, state: VmState.STOPPED, pid: 0 } };
    },
  });
  const all = await vmsan.run(['stop', 'a', 'gone', 'b'], daemon);
  assert.deepEqual(all.stdout.trim().split('\n').toSorted(), ['a', 'b']);
  assert.equal(all.stderr, 'vmsan: there is no VM "gone"\n');
  assert.equal(all.code, 3);
  const json = await vmsan.run(['stop', '-t', '0', 'web', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), [{ ...WEB_JSON, state: 'stopped', pid: null }]);
  assert.deepEqual(graces, [10_000, 10_000, 0]);
  for (const time of ['-1', '1.5', '86401', 'soon']) {
    const bad = await vmsan.run(['stop', `--time=${time}`, 'web'], daemon);
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /^vmsan: --time: ".*" is not a number of seconds from 0 to 86400\n$/);
  }
  assert.equal(graces.length, 3);
});

test('start: names on stdout, notices on stderr, failures do not stop the rest', async () => {
  await using daemon = await fakeDaemon({
    async *startVm({ vm }) {
      yield { event: { case: 'step', value: 'boot the guest' } };
      if (vm === 'broken') throw new Failure('internal', 'the guest did not boot');
      yield { event: { case: 'notice', value: 'no KVM' } };
      yield { event: { case: 'vm', value: { ...WEB, name: vm } } };
    },
  });
  const all = await vmsan.run(['start', 'a', 'broken', 'b'], daemon);
  assert.equal(all.stdout, 'a\nb\n');
  assert.equal(all.stderr, 'no KVM\nvmsan: the guest did not boot\nno KVM\n');
  assert.equal(all.code, 1);
  const json = await vmsan.run(['start', 'web', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), [WEB_JSON]);
});

test('inspect: a view of each; always an array with --json', async () => {
  await using daemon = await fakeDaemon({
    getVm({ vm }) {
      if (vm === 'web') return { vm: WEB };
      throw new Failure('not_found', `there is no VM "${vm}"`);
    },
  });
  const view = await vmsan.run(['inspect', 'web'], daemon);
  assert.match(view.stdout, /^network policy +deny-all \(generation 2\)$/m);
  assert.match(view.stdout, /^netns +vmsan-vm-00000001$/m);
  const json = await vmsan.run(['inspect', 'web', 'nope', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), [WEB_JSON]);
  assert.equal((JSON.parse(json.stderr) as { error: { code: string } }).error.code, 'not_found');
  assert.equal(json.code, 3);
});

test('doctor: a list with hints; exit code 1 when a check failed', async () => {
  await using daemon = await fakeDaemon({
    doctor: () => ({
      checks: [
        { name: 'nftables', status: 1, detail: '1.0.6' },
        { name: 'kvm', status: 2, detail: 'guests die on it', hint: 'nothing to do' },
        { name: 'disk', status: 3, detail: 'full', hint: 'make room' },
      ],
    }),
  });
  const list = await vmsan.run(['doctor'], daemon);
  assert.equal(
    list.stdout,
    [
      '✓ nftables   1.0.6',
      '! kvm        guests die on it',
      '             hint: nothing to do',
      '✗ disk       full',
      '             hint: make room\n',
    ].join('\n'),
  );
  assert.equal(list.code, 1);
  const json = await vmsan.run(['doctor', '--json'], daemon);
  assert.deepEqual(
    (JSON.parse(json.stdout) as { status: string }[]).map((check) => check.status),
    ['ok', 'note', 'failed'],
  );
});

test('a closed pipe ends the program without a word', async () => {
  await using daemon = await fakeDaemon({ listVms: () => ({ vms: [WEB] }) });
  const child = vmsan.start(['list'], daemon);
  child.stdout?.destroy();
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(stderr, '');
  assert.equal(code, 141);
});
