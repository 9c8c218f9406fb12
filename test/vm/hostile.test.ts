import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';

/**
 * Takes the agent's own descriptor of the control channel from PID 1
 * (pidfd_getfd(2)) and answers each hello, then sends PING frames without end:
 * what a guest can do that has replaced its agent.
 */
const HOSTILE = `
import ctypes, os, re, threading
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(1)
port = next(fd for fd in os.listdir('/proc/1/fd')
            if '/vport' in os.readlink('/proc/1/fd/' + fd))
fd = libc.syscall(438, pidfd, int(port), 0)
os.set_blocking(fd, True)
hello = re.compile(rb'VMSAN1 [0-9a-f]{32}\\n')
ping = bytes.fromhex('000008060000000000') + bytes(8)
settings = bytes.fromhex('000000040000000000')
def flood():
    while True:
        try:
            os.write(fd, ping * 4000)
        except OSError:
            pass
threading.Thread(target=flood, daemon=True).start()
seen = b''
while True:
    try:
        seen = (seen + os.read(fd, 65536))[-4096:]
    except OSError:
        continue
    for found in hello.finditer(seen):
        os.write(fd, found.group() + settings)
    seen = hello.sub(b'', seen)
`;

describe('a guest that has taken its agent’s place', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    for (const name of ['evil', 'good']) {
      await lab.vmsan(['create', '--name', name, '--network-policy', 'deny-all'], { check: true });
    }
  });
  after(async () => {
    await lab?.stop();
  });

  const daemon = () => lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
  const memoryKib = async (pid: number) => {
    const { stdout } = await lab.exec(['grep', 'VmRSS', `/proc/${pid}/status`], { check: true });
    return Number(/\d+/.exec(stdout)?.[0]);
  };

  test('it costs its VM, and not the daemon nor another VM', async () => {
    const { pid } = await daemon();
    const before = await memoryKib(pid);
    await lab.vmsan(['exec', '-i', 'evil', 'sh', '-c', 'cat >/root/hostile.py'], {
      stdin: HOSTILE,
      check: true,
    });
    const start = 'setsid python3 /root/hostile.py >/dev/null 2>&1 & echo started';
    await lab.vmsan(['exec', 'evil', 'sh', '-c', start]);
    const said = await until(
      'nothing can be run in it any more',
      async () => {
        const result = await lab.vmsan(['exec', 'evil', 'true']);
        return result.exitCode === 0 ? null : result;
      },
      { deadlineMs: 60_000 },
    );
    assert.equal(said.exitCode, 125);
    assert.match(said.stderr, /^vmsan: the (guest|agent of evil) [^\n]+\n/);
    for (let n = 0; n < 10; n += 1) {
      const { stdout } = await lab.vmsan(['exec', 'good', 'echo', `${n}`], { check: true });
      assert.equal(stdout, `${n}\n`);
    }
    assert.equal((await daemon()).pid, pid, 'the same daemon');
    const grown = (await memoryKib(pid)) - before;
    assert.ok(grown < 128 * 1024, `the daemon grew by ${grown} KiB`);
  });

  test('it is removed like any other', async () => {
    await lab.vmsan(['rm', '--force', 'evil'], { check: true });
    const names = (await lab.vmsanJson<VmJson[]>(['list'])).map(({ name }) => name);
    assert.deepEqual(names, ['good']);
  });
});
