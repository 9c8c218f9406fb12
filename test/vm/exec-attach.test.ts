import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { onATerminal, terminalArgv } from '../lab/on-a-terminal.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';

interface ExecJson {
  id: string;
  attached: boolean;
  exitCode: number | null;
}

const GOES_ON = /^vmsan: the daemon went away; the command goes on: vmsan (exec --attach .*)\n$/;

describe('exec when the daemon goes away', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['create', '--name', 'box', '--network-policy', 'deny-all'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const vmsan = (...words: string[]) => lab.vmsan(words);
  const sh = (script: string) => vmsan('exec', 'box', 'sh', '-c', script);
  /** In a script `gate('x')` waits for `open('x')`. */
  const gate = (name: string) => `mkfifo /tmp/${name}; read line </tmp/${name}`;
  const open = (name: string) =>
    sh(`while ! test -p /tmp/${name}; do sleep 0.01; done; echo >/tmp/${name}`);
  const execs = async () => {
    const { stdout } = await lab.vmsan(['exec', '--list', '--json', 'box'], { check: true });
    return JSON.parse(stdout) as ExecJson[];
  };

  async function killDaemon(): Promise<void> {
    const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    await lab.exec(['kill', '-9', String(pid)], { check: true });
  }

  /** Starts `vmsan exec …`, ends the daemon when it has shown `shown`, and gives what it said. */
  async function leftBy(
    words: string[],
    options: { shown: string; stdin?: string; end?: () => Promise<unknown> },
  ): Promise<{ stdout: string; resume: string[] }> {
    const { shown, stdin, end = killDaemon } = options;
    const child = lab.spawn([`${TREE}/bin/vmsan`, 'exec', ...words]);
    try {
      let [stdout, stderr] = ['', ''];
      child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      if (stdin !== undefined) child.stdin!.write(stdin);
      const closed = once(child, 'close');
      await until(`it shows ${shown}`, () => stdout.includes(shown));
      await end();
      const [code] = await closed;
      assert.equal(code, 125);
      assert.match(stderr, GOES_ON);
      return { stdout, resume: GOES_ON.exec(stderr)![1]!.split(' ') };
    } finally {
      killGroup(child);
    }
  }

  for (const [how, end] of [
    ['kill -9', () => killDaemon()],
    ['vmsan daemon stop', () => vmsan('daemon', 'stop')],
  ] as const) {
    test(`${how}: the command goes on, and no byte of its output is lost or doubled`, async () => {
      const name = `gate-${how.length}`;
      const script = `seq 1 120000; ${gate(name)}; echo oops >&2; seq 120001 130000; exit 9`;
      // Its output is on its way at every stage.
      const first = await leftBy(['box', 'sh', '-c', script], { shown: '1\n2\n3\n', end });
      assert.ok(first.stdout.length > 0);
      const resumed = vmsan(...first.resume);
      await open(name);
      const { stdout, stderr, exitCode } = await resumed;
      const all = `${Array.from({ length: 130_000 }, (_, n) => n + 1).join('\n')}\n`;
      assert.ok(first.stdout + stdout === all, `${first.stdout.length} and ${stdout.length} bytes`);
      assert.equal(stderr, 'oops\n');
      assert.equal(exitCode, 9);
      assert.deepEqual(await execs(), [], 'and it is forgotten');
    });
  }

  test('an end that nobody heard of is kept; of too much output the newest, and how much is missing', async () => {
    const script = `echo ready; ${gate('flood')}; seq 1 400000; exit 4`;
    const { resume } = await leftBy(['box', 'sh', '-c', script], { shown: 'ready\n' });
    await open('flood');
    await until('it has ended', async () => {
      const [left] = (await execs()).filter(({ attached }) => !attached);
      return left?.exitCode === 4;
    });
    const { stdout, stderr, exitCode } = await vmsan(...resume);
    const all = `${Array.from({ length: 400_000 }, (_, n) => n + 1).join('\n')}\n`;
    const kept = 1024 * 1024;
    assert.ok(stdout === all.slice(-kept), `${stdout.length} bytes`);
    assert.match(stderr, new RegExp(`^vmsan: ${all.length - kept} bytes of output are missing`));
    assert.equal(exitCode, 4);
  });

  test('stdin goes on where the guest was', async () => {
    const { stdout, resume } = await leftBy(['-i', 'box', 'cat'], {
      shown: 'one\n',
      stdin: 'one\n',
    });
    assert.equal(stdout, 'one\n');
    assert.deepEqual(resume.slice(0, 3), ['exec', '--attach', '-i']);
    const ended = await lab.vmsan(resume, { stdin: 'two\n' });
    assert.deepEqual(ended, {
      exitCode: 0,
      stdout: 'two\n',
      stderr: 'vmsan: the command was given 4 bytes of stdin before; yours follow them\n',
    });
  });

  test('-it: the same shell on the terminal again', async () => {
    const start = async (words: string[], use: (on: ReturnType<typeof onATerminal>) => unknown) => {
      const child = lab.spawn(terminalArgv([`${TREE}/bin/vmsan`, ...words]));
      try {
        const terminal = onATerminal(child);
        await use(terminal);
        return await terminal.ended;
      } finally {
        killGroup(child);
      }
    };
    const shell = ['exec', '-it', '-e', 'PS1=$ ', 'box', 'bash', '--norc', '-i'];
    const left = await start(shell, async (terminal) => {
      await terminal.shows('$ ');
      terminal.type('number=77\r');
      await terminal.shows('$ ');
      await killDaemon();
    });
    assert.deepEqual([left.code, left.restored], [125, true]);
    const [, line] = /the command goes on: vmsan (exec --attach -it .*)\r\n$/.exec(left.output)!;
    const again = await start(line!.split(' '), async (terminal) => {
      terminal.type('echo is $number; stty size; exit 5\r');
      await terminal.shows(/[\r\n]is 77\r\n31 97\r\n/);
    });
    assert.deepEqual([again.code, again.restored], [5, true]);
  });

  test('who attached and leaves takes the command along, as who started it', async () => {
    const { resume } = await leftBy(['box', 'sh', '-c', 'echo ready; exec sleep 4321'], {
      shown: 'ready\n',
    });
    const runs = async () => (await sh('pgrep -f "^sleep 4321"')).exitCode === 0;
    assert.ok(await runs());
    const child = lab.spawn([`${TREE}/bin/vmsan`, ...resume]);
    try {
      await until('it is attached', async () => (await execs()).some(({ attached }) => attached));
    } finally {
      killGroup(child);
    }
    await until('the command has ended', async () => !(await runs()));
    await until('and is forgotten', async () => (await execs()).length === 0);
  });

  test('an unknown command is 3 with one line; one with somebody attached is refused and goes on', async () => {
    const unknown = await vmsan('exec', '--attach', 'box', '0badcafe');
    assert.equal(unknown.exitCode, 3);
    assert.match(unknown.stderr, /^vmsan: no command 0badcafe [^\n]*\n$/);
    const nothing = await vmsan('exec', '--attach', 'box');
    assert.equal(nothing.exitCode, 3);
    const child = lab.spawn([`${TREE}/bin/vmsan`, 'exec', 'box', 'sleep', '5432']);
    try {
      await until('it runs', async () => (await execs()).length === 1);
      const [{ id }] = (await execs()) as [ExecJson];
      const taken = await vmsan('exec', '--attach', 'box', id);
      assert.equal(taken.exitCode, 125);
      assert.match(taken.stderr, /^vmsan: .*somebody else receives its output\n/);
      assert.equal((await sh('pgrep -f "^sleep 5432"')).exitCode, 0);
    } finally {
      killGroup(child);
    }
  });

  test('a VM that ends under a command: no promise that it goes on', async () => {
    const child = lab.spawn([`${TREE}/bin/vmsan`, 'exec', 'box', 'sleep', '6543']);
    let stderr = '';
    child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const closed = once(child, 'close');
    try {
      await until('it runs', async () => (await sh('pgrep -f "^sleep 6543"')).exitCode === 0);
      await lab.vmsan(['stop', '--time', '0', 'box'], { check: true });
      assert.deepEqual(await closed, [125, null]);
      assert.match(stderr, /^vmsan: the guest broke off the connection\n/);
    } finally {
      killGroup(child);
    }
  });
});
