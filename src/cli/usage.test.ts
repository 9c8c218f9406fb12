import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { onATerminal, terminalArgv } from '../../test/lab/on-a-terminal.ts';
import { VmState } from '../gen/vmsan/v1/vmsan_pb.js';
import { fakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Program } from './testing/program.ts';
import { DENY_JSON, WEB } from './testing/web.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

const ID = 'vm-00000001';
const STOPPED = { id: 'vm-00000002', name: 'a\x1b[2Jb', state: VmState.STOPPED };

/** A daemon at which a second passes between any two looks. */
function watched() {
  let looks = 0;
  return fakeDaemon({
    getVm: () => ({ vm: WEB }),
    getUsage: () => {
      const seconds = looks++;
      const web = {
        id: ID,
        name: 'web',
        state: VmState.RUNNING,
        running: true,
        cpuSeconds: 10 + seconds / 2,
        memoryBytes: 256n << 20n,
        sentBytes: 1_000_000n + BigInt(seconds) * 6_250_000n,
        sentPackets: 1000n,
        receivedBytes: 2_000_000_000n,
        receivedPackets: 2000n,
        drops: [
          { reason: 'bandwidth-out', packets: 7n },
          { reason: 'bandwidth-in', packets: 0n },
        ],
      };
      return { vms: [web, STOPPED], atMs: seconds * 1000 };
    },
  });
}

test('network: limits, and what was sent, received and dropped', async () => {
  await using daemon = await watched();
  const { stdout } = await vmsan.run(['network', 'web'], daemon);
  assert.match(stdout, /^bandwidth out +none\nbandwidth in +none$/m);
  assert.match(stdout, /^sent +1\.0 MB in 1000 packets\nreceived +2\.0 GB in 2000 packets$/m);
  assert.match(stdout, /^dropped +7 bandwidth-out$/m);
  const json = await vmsan.run(['network', 'web', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), {
    id: ID,
    name: 'web',
    network: DENY_JSON,
    counters: {
      sentBytes: 7_250_000,
      sentPackets: 1000,
      receivedBytes: 2_000_000_000,
      receivedPackets: 2000,
      drops: [
        { reason: 'bandwidth-out', packets: 7 },
        { reason: 'bandwidth-in', packets: 0 },
      ],
    },
  });
});

test('metrics: text for Prometheus, in which guests write nothing', async () => {
  await using daemon = await watched();
  const { stdout, code } = await vmsan.run(['metrics'], daemon);
  assert.equal(code, 0);
  assert.match(stdout, /^# TYPE vmsan_vm_sent_bytes_total counter$/m);
  assert.match(stdout, /^vmsan_vm_sent_bytes_total\{id="vm-00000001",name="web"\} 1000000$/m);
});

test('top: one table where there is no terminal, with rates of a second', async () => {
  await using daemon = await watched();
  const { stdout, code } = await vmsan.run(['top'], daemon);
  const [head, web, stopped, end] = stdout.split('\n');
  assert.match(head!, /^NAME +STATE +CPU +MEMORY +OUT +OUT\/S +IN +IN\/S +DROPPED$/);
  assert.match(
    web!,
    /^web +running +50\.0 % +256 MiB +7\.3 MB +50\.0 Mbit\/s +2\.0 GB +0 bit\/s +7$/,
  );
  assert.match(stopped!, /^a\\x1b\[2Jb +stopped$/);
  assert.equal(end, '');
  assert.equal(code, 0);
  const json = await vmsan.run(['top', '--json'], daemon);
  assert.partialDeepStrictEqual(JSON.parse(json.stdout), [
    { id: ID, state: 'running', cpuPercent: 50, sentBitsPerSecond: 50_000_000 },
    { state: 'stopped', cpuPercent: null, sentBitsPerSecond: null },
  ]);
});

test('top on a terminal: drawn again and again, until q or Ctrl-C; the terminal is as before', async () => {
  await using daemon = await watched();
  for (const key of ['q', '\x03']) {
    const wrap = terminalArgv;
    const screen = onATerminal(vmsan.start(['top'], { runDir: daemon.runDir, wrap }));
    await screen.shows('web');
    await screen.shows('50.0 Mbit/s');
    await screen.shows('50.0 Mbit/s');
    screen.type(key);
    const { code, restored, output } = await screen.ended;
    assert.deepEqual({ code, restored }, { code: 0, restored: true });
    assert.match(output, /\x1b\[\?25h\x1b\[\?1049l$/);
  }
});
