import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeDisk } from '../../src/daemon/disk.ts';
import { connectAgent, type GuestAgent } from '../../src/guest/agent.ts';
import { openChannel } from '../../src/guest/channel.ts';
import { kernelCommandLine } from '../../src/guest/kernel-command-line.ts';
import { hostTscKhz } from '../../src/guest/tsc.ts';
import { run } from '../../src/host/run.ts';
import { locateImages } from '../../src/image/images.ts';
import { proofUid } from '../../src/net/plan.ts';
import { qemu } from '../../src/vmm/qemu/qemu.ts';
import type { Machine } from '../../src/vmm/vmm.ts';
import { until } from '../lab/until.ts';
import { execIn, startIn } from './exec-in.ts';

const BOOT_DEADLINE_MS = 60_000;
const SESSION_DEADLINE_MS = 20_000;
const RECONNECTS = 50;
/** Each leaves a program that writes without end: a few keep the guest's only processor busy. */
const FLOOD_EVERY = 10;

/** A guest without any network and without the daemon: its agent, through QEMU's socket. */
describe('the agent', () => {
  let directory: string;
  let machine: Machine;
  let agent: GuestAgent;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'vmsan-agent-test-'));
    chownSync(directory, proofUid(), proofUid());
    const disk = join(directory, 'disk.raw');
    await makeDisk(disk, 256 * 1024 * 1024, proofUid());
    machine = await qemu.start({
      id: 'agent-test',
      uid: proofUid(),
      vcpus: 2,
      memoryMib: 256,
      accelerator: 'tcg',
      ...(await locateImages()),
      kernelCommandLine: kernelCommandLine({ accelerator: 'tcg', tscKhz: await hostTscKhz() }),
      disk,
      network: null,
      runDir: directory,
      groups: [],
    });
    agent = await connectAgent(machine.agentSocket, { deadlineMs: BOOT_DEADLINE_MS });
  });
  after(async () => {
    agent?.close();
    await machine?.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  const sh = (script: string) => execIn(agent, { argv: ['sh', '-c', script] });

  test('configure names the guest, sets its clock and takes entropy', async () => {
    const now = Date.UTC(2031, 5, 7);
    const answer = await agent.client.configure({
      hostname: 'box',
      timeUnixNano: BigInt(now) * 1_000_000n,
      entropy: randomBytes(64),
    });
    assert.match(answer.kernelRelease, /^\d+\.\d+/);
    assert.equal(
      (await sh('hostname; getent hosts box | cut -d" " -f1')).stdout,
      'box\n127.0.1.1\n',
    );
    assert.match((await sh('date -u +%F')).stdout, /^2031-06-07/);
  });

  test('the guest is Debian on an overlay, with the processor its programs need', async () => {
    assert.match((await sh('. /etc/os-release; echo $ID')).stdout, /^debian$/m);
    assert.match((await sh('findmnt -no FSTYPE /')).stdout, /^overlay$/m);
    // x86-64-v2, as ld.so sees it.
    const { stdout } = await sh('/lib64/ld-linux-x86-64.so.2 --help | grep x86-64-v2');
    assert.match(stdout, /supported/);
    assert.equal((await sh('nproc; ulimit -Sn; ulimit -Hn')).stdout, '2\n1024\n524288\n');
  });

  test('eth0 is not there, and the loopback is up', async () => {
    assert.equal((await sh('ping -c1 -W2 127.0.0.1 >/dev/null && echo up')).stdout, 'up\n');
    assert.equal((await sh('ls /sys/class/net')).stdout, 'lo\n');
  });

  test('stdout and stderr are apart, the exit code is the process’s', async () => {
    assert.deepEqual(await sh('echo out; echo err >&2; exit 7'), {
      stdout: 'out\n',
      stderr: 'err\n',
      code: 7,
      signal: 0,
    });
  });

  test('stdin arrives whole and ends', async () => {
    const stdin = randomBytes(2_000_000);
    const { stdout } = await execIn(agent, { argv: ['sha256sum'] }, stdin);
    const { stdout: expected } = await run(['sha256sum'], { stdin });
    assert.equal(stdout, expected);
    assert.equal((await execIn(agent, { argv: ['cat'] })).stdout, '');
  });

  test('user, groups, directory and environment', async () => {
    const script = 'id -un; id -Gn; pwd; echo "$HOME $USER $A"; touch /tmp/mine /mine';
    const argv = ['sh', '-c', script];
    const mine = await execIn(agent, { argv, user: 'vmsan', cwd: '/tmp', env: ['A=b c'] });
    assert.equal(mine.stdout, 'vmsan\nvmsan\n/tmp\n/home/vmsan vmsan b c\n');
    assert.match(mine.stderr, /\/mine.*Permission denied/);
    const root = await execIn(agent, { argv: ['sh', '-c', 'id -u; pwd'] });
    assert.equal(root.stdout, '0\n/root\n');
    const other = await execIn(agent, { argv: ['id'], user: '77:88' });
    assert.equal(other.stdout, 'uid=77 gid=88 groups=88\n');
    const ping = await execIn(agent, { argv: ['ping', '-c1', '127.0.0.1'], user: 'vmsan' });
    assert.equal(ping.code, 0, ping.stderr);
  });

  test('what cannot run is told by Docker’s codes', async () => {
    const code = async (start: { argv: string[]; user?: string; cwd?: string }) =>
      (await execIn(agent, start)).code;
    assert.equal(await code({ argv: ['no-such-program'] }), 127);
    assert.equal(await code({ argv: ['/etc/passwd'] }), 126);
    assert.equal(await code({ argv: ['true'], user: 'nobody-here' }), 125);
    assert.equal(await code({ argv: ['true'], cwd: '/no/such/directory' }), 125);
  });

  test('a signal reaches the process group and is told', async () => {
    const running = startIn(agent, { argv: ['sh', '-c', 'echo ready; sleep 1000; echo no'] });
    await running.output('ready\n');
    running.signal(15);
    const { code, signal, stdout } = await running.end;
    assert.deepEqual([code, signal, stdout], [143, 15, 'ready\n']);
    assert.equal((await sh('pgrep -x sleep')).code, 1);
  });

  test('a caller that leaves takes its processes along', async () => {
    const running = startIn(agent, { argv: ['sh', '-c', 'echo ready; sleep 1000; true'] });
    await running.output('ready\n');
    running.leave();
    await until('no sleep runs', async () => (await sh('pgrep -x sleep')).code === 1);
  });

  test('a daemon left behind does not keep exec', async () => {
    const { stdout } = await sh('sleep 1000 & echo started');
    assert.equal(stdout, 'started\n');
    assert.equal((await sh('pkill -x sleep')).code, 0);
  });

  test('no signal from inside ends the agent', async () => {
    const { stderr } = await sh('for s in HUP INT QUIT SEGV TERM USR1 KILL; do kill -$s 1; done');
    assert.equal(stderr, '');
    const ignored = await sh('grep SigIgn /proc/self/status');
    assert.equal(ignored.stdout, 'SigIgn:\t0000000000000000\n', 'and its children ignore none');
  });

  test('many at once', async () => {
    const all = Array.from({ length: 20 }, (_, n) => sh(`echo ${n}; exit ${n}`));
    const got = (await Promise.all(all)).map(({ stdout, code }) => [stdout, code]);
    assert.deepEqual(
      got,
      got.map((_, n) => [`${n}\n`, n]),
    );
  });

  test('orphans are reaped', async () => {
    await sh('for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.05 &) ; done');
    await until('no zombie', async () => (await sh('ps -eo stat | grep -c ^Z')).stdout === '0\n');
  });

  test(`${RECONNECTS} hosts come and go, whatever they leave behind`, async () => {
    agent.close();
    for (let n = 0; n < RECONNECTS; n += 1) {
      await leaveStale(machine.agentSocket, n);
      const next = await connectAgent(machine.agentSocket, { deadlineMs: SESSION_DEADLINE_MS });
      const { stdout } = await execIn(next, { argv: ['echo', `host ${n}`] });
      assert.equal(stdout, `host ${n}\n`);
      if (n % FLOOD_EVERY === 0) await startIn(next, { argv: ['yes'] }).output('y\n');
      next.close();
    }
    agent = await connectAgent(machine.agentSocket, { deadlineMs: SESSION_DEADLINE_MS });
    // What a host that leaves had started goes on.
    assert.equal((await sh('pgrep -cx yes')).stdout, `${RECONNECTS / FLOOD_EVERY}\n`);
    await sh('pkill -x yes');
    await until('nothing of them runs', async () => (await sh('pgrep -x yes')).code === 1);
  });

  test('shutdown ends processes and the machine, and leaves a clean disk', async () => {
    await sh('echo kept > /root/kept; (trap "" TERM; sleep 1000) >/dev/null 2>&1 &');
    await agent.shutdown(200);
    await machine.ended;
    const disk = join(directory, 'disk.raw');
    const { stdout } = await run(['dumpe2fs', '-h', disk]);
    assert.match(stdout, /Filesystem state: +clean/);
    assert.doesNotMatch(stdout, /needs_recovery/);
    const kept = await run(['debugfs', '-R', 'cat /upper/root/kept', disk]);
    assert.equal(kept.stdout, 'kept\n');
  });
});

/** A host that hangs up at a bad moment: after nothing, after noise, in the middle of a frame. */
async function leaveStale(path: string, n: number): Promise<void> {
  const [none, noise] = [n % 5 < 3, n % 5 === 3];
  if (none) return;
  if (noise) {
    const socket = connect(path);
    await new Promise<void>((resolve) => socket.end(randomBytes(100_000), resolve));
    socket.destroy();
    return;
  }
  const socket = await openChannel(path, { deadlineMs: SESSION_DEADLINE_MS });
  const settings = Buffer.from('000000040000000000', 'hex');
  const cut = Buffer.from('004000000000000001', 'hex');
  const bytes = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings, cut]);
  await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
  socket.destroy();
}
