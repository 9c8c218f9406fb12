import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';

describe('exec', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['create', '--name', 'box', '--network-policy', 'deny-all'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const exec = (args: readonly string[], options: { stdin?: string | Uint8Array } = {}) =>
    lab.vmsan(['exec', ...args], options);

  test('stdout, stderr and the exit code are the guest’s, apart', async () => {
    const result = await exec(['box', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    assert.deepEqual(result, { exitCode: 7, stdout: 'out\n', stderr: 'err\n' });
  });

  test('arguments arrive as they were typed, without a shell', async () => {
    const odd = ['a b', '$HOME', '*', '', "it's", '--flag'];
    const { stdout } = await exec(['box', 'printf', '<%s>', ...odd]);
    assert.equal(stdout, odd.map((word) => `<${word}>`).join(''));
  });

  test('stdin is the guest’s with -i, and nothing without', async () => {
    const bytes = Buffer.alloc(3_000_000, 'the quick brown fox\n');
    const { stdout } = await exec(['-i', 'box', 'md5sum'], { stdin: bytes });
    const { stdout: expected } = await lab.exec(['md5sum'], { stdin: bytes });
    assert.equal(stdout, expected);
    assert.equal((await exec(['box', 'cat'], { stdin: 'unread' })).stdout, '');
  });

  test('much output arrives whole', async () => {
    const { stdout } = await exec(['box', 'seq', '1', '400000']);
    const { stdout: expected } = await lab.exec(['seq', '1', '400000']);
    assert.ok(stdout === expected, `${stdout.length} of ${expected.length} bytes`);
  });

  test('--user, --workdir and --env', async () => {
    const flags = ['--user', 'vmsan', '--workdir', '/tmp', '--env', 'A=1', '-e', 'B=x y'];
    const { stdout } = await exec([...flags, 'box', 'sh', '-c', 'id -un; pwd; echo "$A $B $HOME"']);
    assert.equal(stdout, 'vmsan\n/tmp\n1 x y /home/vmsan\n');
  });

  test('what cannot run is told by Docker’s codes', async () => {
    assert.equal((await exec(['box', 'no-such-program'])).exitCode, 127);
    assert.equal((await exec(['box', '/etc/passwd'])).exitCode, 126);
    assert.equal((await exec(['--user', 'nobody-here', 'box', 'true'])).exitCode, 125);
    assert.equal((await exec(['no-such-vm', 'true'])).exitCode, 125);
  });

  test('a program that a signal ended is 128 and the signal', async () => {
    assert.equal((await exec(['box', 'sh', '-c', 'kill -TERM $$'])).exitCode, 143);
  });

  test('an interrupt reaches the program in the guest', async () => {
    const script = 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.1; done';
    const child = lab.spawn([`${TREE}/bin/vmsan`, 'exec', 'box', 'sh', '-c', script]);
    let output = '';
    child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    try {
      await until('the program runs', () => output.includes('ready'));
      await lab.exec(['pkill', '-INT', '-f', 'cli.cjs exec box'], { check: true });
      assert.equal(await ended, 5);
      assert.match(output, /caught/);
    } finally {
      killGroup(child);
    }
  });

  test('a caller that goes away takes its program along', async () => {
    const child = lab.spawn([`${TREE}/bin/vmsan`, 'exec', 'box', 'sleep', '987']);
    const runs = async () => (await exec(['box', 'pgrep', '-f', 'sleep 987'])).exitCode === 0;
    await until('the program runs', runs);
    killGroup(child);
    await until('the program has ended', async () => !(await runs()));
  });

  test('exec needs no network: it works with eth0 down', async () => {
    await exec(['box', 'ip', 'link', 'set', 'eth0', 'down']);
    const { stdout } = await exec(['box', 'ip', '-br', 'link', 'show', 'eth0']);
    assert.match(stdout, /eth0\s+DOWN/);
  });

  test('ten at once, each with its own output', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `exec-${index}`);
    const results = await Promise.all(names.map((name) => exec(['box', 'echo', name])));
    assert.deepEqual(
      results.map(({ stdout }) => stdout),
      names.map((name) => `${name}\n`),
    );
  });

  test('the CPU is new enough for today’s programs (x86-64-v2)', async () => {
    const { stdout } = await exec(['box', 'grep', '-m1', '^flags', '/proc/cpuinfo']);
    for (const flag of ['cx16', 'lahf_lm', 'popcnt', 'sse4_1', 'sse4_2', 'ssse3']) {
      assert.match(stdout, new RegExp(`\\b${flag}\\b`));
    }
  });

  test('the base has what its recipe promises', async () => {
    const programs = ['bash', 'curl', 'ip', 'ping', 'dig', 'openssl', 'nc', 'python3', 'git'];
    const script = `command -v ${programs.join(' ')} && test -s /etc/ssl/certs/ca-certificates.crt`;
    const { exitCode, stdout } = await exec(['box', 'sh', '-c', script]);
    assert.equal(exitCode, 0, stdout);
  });
});
