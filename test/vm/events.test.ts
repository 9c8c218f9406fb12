import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { text } from 'node:stream/consumers';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { closed, killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';

interface EventJson {
  at: string;
  kind: string;
  name: string | null;
  detail: string;
}

describe('waiting for VMs, and watching what becomes of them', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['create', '--name', 'web', '--memory', '256m'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const vmsan = (...args: string[]) => lab.spawn([`${TREE}/bin/vmsan`, ...args]);
  const daemonPid = async () => (await lab.vmsanJson<{ pid: number }>(['daemon', 'status'])).pid;
  const seen = async () => {
    const { stdout } = await lab.vmsan(['events', '--json'], { check: true });
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as EventJson);
  };

  test('events: what happened since the daemon started, and what comes', async () => {
    const following = vmsan('events', '--follow');
    let out = '';
    following.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
    try {
      await until('the creation is told of', () => /created web .* allow-all\n/.test(out));
      await lab.vmsan(['network', 'web', '--network-policy', 'deny-all'], { check: true });
      await until('the change is told of', () =>
        /network web .* allow-all -> deny-all\n/.test(out),
      );
      const { gatePid } = await lab.vmsanJson<{ gatePid: number }>(['daemon', 'status']);
      await lab.exec(['kill', '-9', String(gatePid)], { check: true });
      await until('the gate’s end is told of', () => /gate it had ended/.test(out));
      await lab.vmsan(['stop', 'web'], { check: true });
      await until('the stop is told of', () => /stopped web .* asked for\n/.test(out));
      await lab.vmsan(['start', 'web'], { check: true });
      await until('the start is told of', () => /started web .* deny-all\n/.test(out));
    } finally {
      killGroup(following);
    }
    const kinds = (await seen()).map(({ kind }) => kind);
    assert.deepEqual(kinds, ['created', 'network', 'gate', 'stopped', 'started']);
  });

  test('logs: the console, whole each time, and what comes', async () => {
    const write = (words: string) =>
      lab.vmsan(['exec', 'web', 'sh', '-c', `printf '${words}\\n' >/dev/console`], { check: true });
    await write('first words');
    const look = async () => (await lab.vmsan(['logs', 'web'], { check: true })).stdout;
    await until('the first words are shown', async () => (await look()).includes('first words'));
    assert.match(await look(), /first words/, 'and again');
    const following = vmsan('logs', '--follow', 'web');
    const ended = closed(following);
    let out = '';
    following.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
    await until('what there is is shown', () => out.includes('first words'));
    await write('from \\033[31m inside');
    await until('what it writes is shown', () => out.includes('from \x1b[31m inside'));
    // On a terminal nothing of the guest's is obeyed.
    const shown = await lab.exec(['script', '-qec', `${TREE}/bin/vmsan logs web`, '/dev/null']);
    assert.match(shown.stdout, /from \\x1b\[31m inside/);
    await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
    assert.equal(await ended, 0);
    const gone = await lab.vmsan(['logs', 'web']);
    assert.equal(gone.exitCode, 1);
    assert.match(gone.stderr, /web is stopped, and its console went with its machine/);
    await lab.vmsan(['start', 'web'], { check: true });
  });

  test('wait returns when a guest ends by itself, though the daemon dies meanwhile', async () => {
    const waiting = vmsan('wait', 'web');
    const out = text(waiting.stdout!);
    const ended = closed(waiting);
    let said = '';
    waiting.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    // It may not have asked yet.
    await until('it says that the daemon went away', async () => {
      if (said === '') await lab.exec(['kill', '-9', String(await daemonPid())]);
      return said !== '';
    });
    await lab.vmsan(['exec', 'web', 'sh', '-c', 'echo o >/proc/sysrq-trigger']);
    assert.equal(await ended, 0);
    assert.equal(await out, 'web\n');
    assert.equal(said, 'vmsan: the daemon went away; waiting goes on\n');
    const [vm] = await lab.vmsanJson<VmJson[]>(['inspect', 'web']);
    assert.equal(vm?.state, 'stopped');
    const told = (await seen()).map(({ kind, detail }) => `${kind} ${detail}`.trim());
    assert.deepEqual(told, ['adopted', 'stopped it ended by itself']);
  });

  test('events and logs follow across daemons, and say so in a line', async () => {
    await lab.vmsan(['start', 'web'], { check: true });
    const watchers = [vmsan('events', '--follow'), vmsan('logs', '--follow', 'web')].map(
      (child) => {
        const watcher = { child, out: '', said: '' };
        child.stdout?.on('data', (chunk: Buffer) => (watcher.out += chunk.toString()));
        child.stderr?.on('data', (chunk: Buffer) => (watcher.said += chunk.toString()));
        return watcher;
      },
    );
    const write = (words: string) =>
      lab.vmsan(['exec', 'web', 'sh', '-c', `echo ${words} >/dev/console`], { check: true });
    try {
      await write('before');
      await until('both follow', () =>
        [/started web/, /before/].every((word, n) => word.test(watchers[n]!.out)),
      );
      await lab.vmsan(['daemon', 'stop'], { check: true });
      const GONE = 'vmsan: the daemon went away; what follows is of the next one\n';
      await until('both say so', () => watchers.every(({ said }) => said === GONE));
      // Neither starts one.
      assert.equal((await lab.vmsan(['daemon', 'status'])).exitCode, 3);
      await write('after');
      await until('both go on', () =>
        [/adopted web/, /after/].every((word, n) => word.test(watchers[n]!.out)),
      );
      assert.equal(watchers[1]!.out.split('before').length, 2, 'and nothing comes twice');
    } finally {
      for (const { child } of watchers) killGroup(child);
    }
    await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
  });

  test('wait: what is stopped already, what is removed, what is not there', async () => {
    assert.deepEqual(
      (await lab.vmsanJson<{ name: string; end: string }[]>(['wait', 'web'])).map(({ end }) => end),
      ['stopped'],
    );
    await lab.vmsan(['start', 'web'], { check: true });
    const waiting = vmsan('wait', 'web', '--json');
    const out = text(waiting.stdout!);
    const ended = closed(waiting);
    await lab.vmsan(['rm', '--force', 'web'], { check: true });
    const code = await ended;
    // It may have asked only after the removal.
    if (code === 0) assert.match(await out, /"end": "(removed|stopped)"/);
    else assert.equal(code, 3);
    assert.equal((await lab.vmsan(['wait', 'web'])).exitCode, 3);
    assert.equal((await seen()).at(-1)?.kind, 'removed');
  });
});
