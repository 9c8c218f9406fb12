import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { onATerminal, terminalArgv, type OnATerminal } from '../lab/on-a-terminal.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';

describe('exec -t', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['create', '--name', 'box', '--network-policy', 'deny-all'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  /** `exec -it` on a terminal of 31 rows and 97 columns. */
  async function typing(
    words: readonly string[],
    use: (terminal: OnATerminal) => Promise<void>,
  ): Promise<void> {
    const child = lab.spawn(terminalArgv([`${TREE}/bin/vmsan`, 'exec', '-it', ...words]));
    try {
      await use(onATerminal(child));
    } finally {
      killGroup(child);
    }
  }

  test('a user’s shell has a terminal of its own, of the right size, and job control', async () => {
    const shell = [
      '--user',
      'vmsan',
      '-e',
      'TERM=dumb',
      '-e',
      'PS1=$ ',
      'box',
      'bash',
      '--norc',
      '-i',
    ];
    await typing(shell, async (terminal) => {
      await terminal.shows('$ ');
      terminal.type('tty; stty size; echo hello >/dev/tty; stat -c %U:%a $(tty)\r');
      await terminal.shows(/[\r\n]\/dev\/pts\/\d+\r\n31 97\r\nhello\r\nvmsan:620\r\n/);
      terminal.resize(10, 40);
      await until('the new size arrives', async () => {
        terminal.type('stty size\r');
        return /\n10 40\r\n/.test(await terminal.shows(/\n\d+ \d+\r\n/));
      });
      // Ctrl-C ends the job in the foreground, not the shell; Ctrl-Z stops one.
      terminal.type('tail -f /dev/null -n 1001\r');
      await until('the job runs', async () => (await pgrep('tail -f /dev/null -n 1001')) === 0);
      terminal.type('\x03');
      terminal.type('echo code $?\r');
      await terminal.shows('\ncode 130\r\n');
      terminal.type('tail -f /dev/null -n 1002\r');
      await until('the job runs', async () => (await pgrep('tail -f /dev/null -n 1002')) === 0);
      terminal.type('\x1a');
      terminal.type('jobs -s; kill %1; wait; exit 5\r');
      await terminal.shows(/Stopped +tail -f .dev.null -n 1002/);
      const { code, restored } = await terminal.ended;
      assert.deepEqual({ code, restored }, { code: 5, restored: true });
    });
  });

  test('without -i there is a terminal too, and all output is stdout', async () => {
    const script = 'test -t 0 && tty >/dev/tty; echo err >&2';
    const { stdout, stderr } = await lab.vmsan(['exec', '-t', 'box', 'sh', '-c', script]);
    assert.match(stdout, /^\/dev\/pts\/\d+\r\nerr\r\n$/);
    assert.equal(stderr, '');
  });

  test('a terminal whose caller goes away takes its job along', async () => {
    await typing(['box', 'bash', '--norc', '-i'], async (terminal) => {
      await terminal.shows('# ');
      terminal.type('tail -f /dev/null -n 1003\r');
      await until('the job runs', async () => (await pgrep('tail -f /dev/null -n 1003')) === 0);
    });
    await until('the job has ended', async () => (await pgrep('tail -f /dev/null -n 1003')) === 1);
  });

  test('kill -9 of the daemon: one line, and the terminal is as before', async () => {
    const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    await typing(['box', 'cat'], async (terminal) => {
      await until('cat runs', async () => (await pgrep('^cat$')) === 0);
      terminal.type('typed\r');
      await terminal.shows('typed\r\ntyped\r\n');
      await lab.exec(['kill', '-9', String(pid)], { check: true });
      const { code, restored, output } = await terminal.ended;
      assert.deepEqual({ code, restored }, { code: 125, restored: true });
      assert.match(output, /vmsan: the daemon [^\n]*\r\n/);
    });
  });

  async function pgrep(pattern: string): Promise<number> {
    return (await lab.vmsan(['exec', 'box', 'pgrep', '-f', pattern])).exitCode;
  }
});
