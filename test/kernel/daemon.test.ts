import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';

interface DaemonJson {
  running: boolean;
  pid: number;
}

describe('the daemon and its callers', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
  });
  after(async () => {
    await lab?.stop();
  });

  const status = () => lab.vmsanJson<DaemonJson>(['daemon', 'status']);

  test('status does not start one, nor does help or bad input', async () => {
    await lab.vmsan(['--help'], { check: true });
    assert.equal((await lab.vmsan(['create', '--memory', 'lots'])).exitCode, 2);
    await lab.vmsan(['daemon', 'status']);
    assert.equal((await lab.exec(['sh', '-c', 'pgrep -l "^(node|MainThread)"'])).stdout, '');
  });

  test('the first commands start one, and only one', async () => {
    const results = await Promise.all([1, 2, 3, 4].map(() => lab.vmsan(['list', '--json'])));
    assert.deepEqual(
      results.map(({ exitCode, stdout }) => [exitCode, stdout.trim()]),
      results.map(() => [0, '[]']),
    );
    assert.match((await lab.exec(['pgrep', '-c', '-f', 'daemon.js'])).stdout, /^1\n/);
    await lab.vmsan(['daemon', 'start'], { check: true });
    assert.match((await lab.exec(['pgrep', '-c', '-f', 'daemon.js'])).stdout, /^1\n/);
  });

  test('it is in its caller’s network namespace', async () => {
    const { pid } = await status();
    const { stdout } = await lab.exec(['readlink', `/proc/${pid}/ns/net`, '/proc/self/ns/net']);
    const [daemon, caller] = stdout.split('\n');
    assert.equal(daemon, caller);
  });

  test('its socket is for root and its group, its other files for root', async () => {
    const { stdout } = await lab.exec(['stat', '-c', '%a %n', '/run/vmsan/vmsan.sock']);
    assert.equal(stdout, '660 /run/vmsan/vmsan.sock\n');
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    const call = ['curl', '-sS', '--unix-socket', '/run/vmsan/vmsan.sock', 'http://vmsan/'];
    const { stderr } = await lab.exec([...nobody, ...call]);
    assert.match(stderr, /Permission denied|Couldn't connect|Failed to connect/);
    for (const file of ['/var/lib/vmsan/vmsan.db', '/run/vmsan/vmsand.log']) {
      assert.notEqual((await lab.exec([...nobody, 'cat', file])).exitCode, 0, file);
    }
  });

  test('a caller in another network namespace is refused in one line that names both', async () => {
    const { exitCode, stderr } = await lab.exec(['unshare', '--net', `${TREE}/bin/vmsan`, 'list']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^vmsan: .*network namespace \S+, this command in \S+\nhint: /);
  });

  test('a caller with other settings is refused in one line that names both', async () => {
    const { exitCode, stderr } = await lab.vmsan(['list'], {
      env: { VMSAN_SUBNET_POOL: '172.20.0.0/16' },
    });
    assert.equal(exitCode, 1);
    assert.match(stderr, /^vmsan: .*172\.16\.0\.0\/16.*172\.20\.0\.0\/16"\nhint: /);
  });

  test('a second daemon for this host is refused', async () => {
    const { exitCode, stderr } = await lab.vmsan(['list'], {
      env: { VMSAN_RUN_DIR: '/run/other', VMSAN_STATE_DIR: '/var/lib/other' },
    });
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^vmsan: another daemon serves this host, with VMSAN_RUN_DIR=\/run\/vmsan/,
    );
  });

  test('a bad setting is bad input, by its name', async () => {
    const { exitCode, stderr } = await lab.vmsan(['list'], { env: { VMSAN_SUBNET_POOL: 'all' } });
    assert.equal(exitCode, 2);
    assert.match(stderr, /^vmsan: VMSAN_SUBNET_POOL: must be an IPv4 network/);
  });

  test('curl speaks to it in JSON', async () => {
    const { stdout } = await lab.exec([
      ...['curl', '-sS', '--unix-socket', '/run/vmsan/vmsan.sock', '--json', '{}'],
      'http://vmsan/vmsan.v1.VmsanService/ListVms',
    ]);
    assert.deepEqual(JSON.parse(stdout), {});
  });

  test('doctor finds nothing that is broken, and says what accelerates', async () => {
    const { exitCode, stdout } = await lab.vmsan(['doctor']);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /accelerator\s+(KVM|software emulation)/);
  });

  test('stop ends it; stop again is no error', async () => {
    await lab.vmsan(['daemon', 'stop'], { check: true });
    assert.equal((await lab.exec(['pgrep', '-c', '^(node|MainThread)'])).stdout, '0\n');
    await lab.vmsan(['daemon', 'stop'], { check: true });
  });
});
