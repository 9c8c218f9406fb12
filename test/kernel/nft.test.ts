import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';

/** nftables in a process of ours on the lab's host, told as a script. */
describe('transactions in network namespaces', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
  });
  after(async () => {
    await lab?.stop();
  });

  /** Runs lines of TypeScript that say `nft(netns, commands)`, `ip(words)` and `say(value)`. */
  async function script(...lines: string[]): Promise<unknown[]> {
    const source = `
      import { execFileSync } from 'node:child_process';
      import { nftables as nft } from '${TREE}/src/host/nft.ts';
      const ip = (words: string) => execFileSync('ip', words.split(' '));
      const said: unknown[] = [];
      const say = (value: unknown) => said.push(value);
      ${lines.join('\n')}
      console.log(JSON.stringify(said));`;
    const argv = [process.execPath, '--input-type=module-typescript', '-e', source];
    const { stdout } = await lab.exec(argv, { check: true });
    return JSON.parse(stdout) as unknown[];
  }

  test('a namespace made anew under the same name gets its own, at once', async () => {
    const said = await script(
      `ip('netns add again');`,
      `nft('/run/netns/again', 'table inet first');`,
      `ip('netns delete again');`,
      `ip('netns add again');`,
      `nft('/run/netns/again', 'table inet second');`,
      `say(nft('/run/netns/again', 'list tables'));`,
      `ip('netns delete again');`,
    );
    assert.deepEqual(said, ['table inet second\n']);
  });

  test('what one namespace is told reaches no other', async () => {
    const said = await script(
      `ip('netns add one');`,
      `ip('netns add two');`,
      `nft('/run/netns/one', 'table inet one');`,
      `nft('/run/netns/two', 'table inet two');`,
      `for (const netns of ['/run/netns/one', '/run/netns/two', undefined])`,
      `  say(nft(netns, 'list tables'));`,
      `ip('netns delete one');`,
      `ip('netns delete two');`,
    );
    assert.deepEqual(said, ['table inet one\n', 'table inet two\n', '']);
  });

  test('a refusal says why once, and the next transaction goes through', async () => {
    const said = await script(
      `const attempt = (commands: string) => {`,
      `  try { return nft(undefined, commands); } catch (error) { return (error as Error).message; }`,
      `};`,
      `say(attempt('add rule inet nowhere c accept'));`,
      `say(attempt('table inet here'));`,
      `say(attempt('delete table inet nowhere'));`,
      `say(attempt('delete table inet here'));`,
    );
    assert.match(String(said[0]), /^nft: Error: .*nowhere/s);
    assert.match(String(said[2]), /delete table inet nowhere/);
    assert.doesNotMatch(String(said[2]), /add rule/);
    assert.deepEqual([said[1], said[3]], ['', '']);
  });

  test('a signal in the middle of a transaction does not make it fail', async () => {
    const said = await script(
      `import { spawn } from 'node:child_process';`,
      `let heard = 0;`,
      `process.on('SIGUSR2', () => { heard += 1; });`,
      `const storm = 'while kill -USR2 ' + process.pid + '; do :; done';`,
      `const noise = spawn('sh', ['-c', storm], { stdio: 'ignore' });`,
      `for (let n = 0; n < 600; n += 1) {`,
      `  nft(undefined, 'table inet t; delete table inet t; table inet t { chain c { accept; }; }');`,
      `}`,
      `noise.kill('SIGKILL');`,
      `// Its own end may be among the signals that were too many for Node to keep.`,
      `noise.unref();`,
      `nft(undefined, 'delete table inet t');`,
      `while (heard === 0) await new Promise(setImmediate);`,
      `say('heard');`,
    );
    assert.deepEqual(said, ['heard']);
  });
});
