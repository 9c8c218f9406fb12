import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { closed, killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import { hostState } from './host-state.ts';

const STATE = '/var/lib/vmsan';

describe('when the host’s disk is full', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    const small = `mkdir ${STATE} && mount -t tmpfs -o size=256m,mode=711 small ${STATE}`;
    await sh(small);
    await lab.vmsan(['create', '--name', 'web', '--disk', '1g'], { check: true });
    await lab.vmsan(['create', '--name', 'idle', '--disk', '1g'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const sh = async (script: string) =>
    (await lab.exec(['sh', '-c', script], { check: true })).stdout;
  const web = async () => {
    const vms = await lab.vmsanJson<VmJson[]>(['list']);
    return vms.find(({ name }) => name === 'web')!;
  };
  /** Leaves so many MiB, or nothing at all. */
  const fill = (leave: number) =>
    sh(`free=$(df --output=avail -BM ${STATE} | tail -n 1 | tr -dc 0-9)
      dd if=/dev/zero of=${STATE}/filler-${leave} bs=1M count=$((free - ${leave})) status=none
      [ ${leave} != 0 ] || dd if=/dev/zero of=${STATE}/last bs=1k 2>/dev/null || :`);
  const empty = () => sh(`rm -f ${STATE}/filler-* ${STATE}/last`);
  const kinds = async () =>
    (await lab.vmsan(['events'])).stdout.split('\n').filter((line) => line.includes(' web '));
  const saw = (kind: string) => async () => (await kinds()).some((line) => line.includes(kind));

  test('a VM that writes is paused, and it is said; when there is space it goes on', async () => {
    await fill(20);
    const script = 'dd if=/dev/zero of=/big bs=1M count=60 status=none conv=fsync && cksum </big';
    const writing = lab.spawn([`${TREE}/bin/vmsan`, 'exec', 'web', 'sh', '-c', script]);
    let written = '';
    writing.stdout!.on('data', (chunk: Buffer) => (written += chunk.toString()));
    const end = closed(writing);
    try {
      await until('it is paused', async () => (await web()).state === 'paused', {
        deadlineMs: 60_000,
      });
      const why = /no space is left in \/var\/lib\/vmsan/;
      assert.match((await web()).notice ?? '', why);
      const list = await lab.vmsan(['list']);
      assert.match(list.stdout, / web +paused /);
      assert.match(list.stderr, /^web: no space is left/);
      assert.match((await lab.vmsan(['inspect', 'web'])).stdout, /state +paused: no space/);
      await until('it is an event', saw('paused'));
      assert.match(await sh('cat /run/vmsan/vmsand.log'), /"no space is left.*"msg":"paused"/);
      const { exitCode, stderr } = await lab.vmsan(['exec', 'web', 'true']);
      assert.equal(exitCode, 125);
      assert.match(stderr, /^vmsan: web is paused: no space is left.*\nhint: make room.*\n$/);
      const again = await lab.vmsan(['start', 'web']);
      assert.equal(again.exitCode, 1);
      assert.match(again.stderr, /^vmsan: web is paused: no space/);

      await empty();
      assert.equal(await end, 0);
      assert.match(written, / 62914560\n$/, 'nothing that it wrote is lost');
      assert.equal((await web()).state, 'running');
      await until('that is an event too', saw('resumed'));
    } finally {
      killGroup(writing);
      await end;
    }
  });

  test('records are still written, with what is laid aside for them', async () => {
    await fill(0);
    const free = `df --output=avail ${STATE} | tail -n 1 | tr -d ' '`;
    assert.equal(await sh(free), '0\n');
    const names = Array.from({ length: 30 }, (_, index) => `10.0.${index}.0/24`);
    for (const cidr of names) {
      await lab.vmsan(['network', 'idle', '--denied-cidr', `${cidr},${names.join(',')}`], {
        check: true,
      });
    }
    assert.equal(await sh(`ls ${STATE} | grep reserve || :`), '', 'it was needed');
    await empty();
    await lab.vmsan(['network', 'idle', '--network-policy', 'allow-all'], { check: true });
    assert.equal(await sh(`ls ${STATE} | grep reserve`), 'reserve\n', 'and is there again');
  });

  test('create is one clear line, and changes nothing', async () => {
    await fill(0);
    const unchanged = await hostState(lab);
    const { exitCode, stdout, stderr } = await lab.vmsan(['create', '--name', 'more']);
    assert.equal(exitCode, 1);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /^vmsan: 0 MiB are free in \/var\/lib\/vmsan, and a VM needs 64 MiB to begin with\nhint: .*\n$/,
    );
    // Their state may change: a guest writes of its own accord, and is paused.
    const vms = await lab.vmsanJson<VmJson[]>(['list']);
    assert.deepEqual(vms.map(({ name }) => name).toSorted(), ['idle', 'web']);
    assert.equal(await hostState(lab), unchanged);
    await empty();
  });

  test('the next daemon knows of it too, and rm works on a full disk', async () => {
    await fill(20);
    const writing = lab.spawn([
      ...[`${TREE}/bin/vmsan`, 'exec', 'web', 'sh', '-c'],
      'dd if=/dev/zero of=/more bs=1M count=60 conv=fsync',
    ]);
    try {
      await until('it is paused', async () => (await web()).state === 'paused', {
        deadlineMs: 60_000,
      });
      await fill(0);
      const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
      await sh(`kill -9 ${pid}`);
      assert.equal((await web()).state, 'paused');
      await lab.vmsan(['rm', '--force', 'web', 'idle'], { check: true });
      assert.deepEqual(await lab.vmsanJson(['list']), []);
      assert.equal(await sh(`ls -A ${STATE}/vms; ip netns`), '');
    } finally {
      killGroup(writing);
    }
  });
});
