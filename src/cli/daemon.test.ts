import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { GetDaemonResponseSchema } from '../gen/vmsan/v1/vmsan_pb.js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Failure } from '../host/failure.ts';
import { fakeDaemon, type FakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, BUILD, type Program } from './testing/program.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

/** Above the kernel's largest pid: a process that is gone. */
const GONE = 0x7fff_fff0;

type Answer = MessageInitShape<typeof GetDaemonResponseSchema>;
const answer = (change: Answer = {}): Answer => ({
  pid: GONE,
  gatePid: 12,
  build: BUILD,
  stateDir: '/var/lib/vmsan',
  runDir: '/run/vmsan',
  startedAtMs: 1_700_000_000_000n,
  runningVms: 0,
  ...change,
});

test('status and stop start no daemon', async () => {
  const status = await vmsan.run(['daemon', 'status']);
  assert.deepEqual(status, { code: 3, stdout: 'vmsand does not run\n', stderr: '' });
  const json = await vmsan.run(['daemon', 'status', '--json']);
  assert.deepEqual(JSON.parse(json.stdout), { running: false });
  const stop = await vmsan.run(['daemon', 'stop']);
  assert.deepEqual(stop, { code: 0, stdout: 'vmsand does not run\n', stderr: '' });
});

test('status tells what it is told; start finds the daemon running', async () => {
  await using daemon = await fakeDaemon({ getDaemon: () => answer({ runningVms: 2 }) });
  const status = await vmsan.run(['daemon', 'status'], daemon);
  assert.match(status.stdout, /^running VMs +2$/m);
  assert.match(status.stdout, /^started +2023-11-14T22:13:20\.000Z$/m);
  const start = await vmsan.run(['daemon', 'start'], daemon);
  assert.equal(start.stdout, `vmsand runs already (pid ${GONE})\n`);
  assert.equal(start.code, 0);
});

test('stop says what goes on, stop --purge what is gone', async () => {
  await using daemon = await fakeDaemon({
    getDaemon: () => answer({ runningVms: 1 }),
    stopDaemon: ({ purge }) => ({ removedVms: purge ? 1 : 0 }),
  });
  const stop = await vmsan.run(['daemon', 'stop'], daemon);
  assert.equal(stop.stdout, 'vmsand has ended\n1 VM goes on running, under the policy last set\n');
  const purge = await vmsan.run(['daemon', 'stop', '--purge'], daemon);
  assert.match(purge.stdout, /^removed 1 VM and all that/);
  const json = await vmsan.run(['daemon', 'stop', '--purge', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), { stopped: true, removedVms: 1 });
});

/** A daemon that refuses this build until it is told to end. */
async function olderDaemon(runningVms: number): Promise<FakeDaemon> {
  let older = true;
  return fakeDaemon({
    getDaemon: () => answer({ build: 'older', runningVms }),
    stopDaemon: () => {
      older = false;
      return {};
    },
    listVms: () => {
      if (!older) return { vms: [] };
      const hint = 'vmsan daemon stop && vmsan daemon start';
      throw new Failure('conflict', 'the daemon is build older, this command a-test', { hint });
    },
  });
}

test('an idle daemon of another build is replaced, and the command goes on', async () => {
  await using daemon = await olderDaemon(0);
  const ended = await vmsan.run(['list', '-q'], daemon);
  assert.deepEqual(ended, { code: 0, stdout: '', stderr: '' });
  assert.deepEqual(
    daemon.calls.map((call) => call.method),
    ['ListVms', 'GetDaemon', 'GetDaemon', 'StopDaemon', 'ListVms'],
  );
});

test('a daemon of another build with running VMs is left alone, and the command to type is said', async () => {
  await using daemon = await olderDaemon(1);
  const ended = await vmsan.run(['list'], daemon);
  assert.equal(
    ended.stderr,
    'vmsan: the daemon is build older, this command a-test\n' +
      'hint: vmsan daemon stop && vmsan daemon start\n',
  );
  assert.equal(ended.code, 1);
  assert.ok(daemon.calls.every((call) => call.method !== 'StopDaemon'));
});

test('a daemon that breaks off is no endless wait', async () => {
  await using daemon = await fakeDaemon({
    listVms: async () => {
      await daemon[Symbol.asyncDispose]();
      return {};
    },
  });
  const ended = await vmsan.run(['list'], daemon);
  assert.match(ended.stderr, /^vmsan: the daemon went away\n/);
  assert.equal(ended.code, 1);
  assert.ok(!existsSync(daemon.runDir));
});

test('unit prints a systemd unit, with the settings that were given', async () => {
  const { stdout, code } = await vmsan.run(['daemon', 'unit'], { env: { VMSAN_DNS: 'a "b" %$' } });
  assert.equal(code, 0);
  assert.match(stdout, /^ExecStart=\/\S+\/bin\/vmsan daemon start$/m);
  assert.match(stdout, /^Environment="VMSAN_DNS=a \\"b\\" %%\$\$"$/m);
  assert.match(stdout, /^Environment=VMSAN_STATE_DIR=\/\S+$/m);
  assert.match(stdout, /^WantedBy=multi-user\.target$/m);
});
