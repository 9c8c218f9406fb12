import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ExecResult } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { hostState } from './host-state.ts';

/** What is wrong, by its words; beside a VM "web" that runs. */
const BAD: [words: string, code: number, line: RegExp][] = [
  ['create --name web', 1, /the name "web" is taken by vm-[0-9a-f]{8}$/],
  ['create --name Web!', 2, /--name: "Web!" cannot be a VM's name/],
  ['create --memory 64m', 2, /--memory: "64m" is not a memory size/],
  ['create --memory much', 2, /--memory: "much" is not a memory size/],
  ['create --network-policy open', 2, /--network-policy: "open" is not a network policy/],
  ['create --allowed-cidr 10.0.0.1/8', 2, /--allowed-cidr: "10.0.0.1\/8" has bits set/],
  ['create --vcpus 0', 2, /--vcpus: "0" is not a number of vCPUs/],
  ['create --disk 1k', 2, /--disk: "1k" is not a disk size/],
  ['network web --denied-cidr 10.0.0.0/33', 2, /--denied-cidr: "10.0.0.0\/33" is not/],
  ['network web --network-policy closed', 2, /--network-policy: "closed" is not/],
  ['network web --network-policy custom', 2, /"custom" needs a list/],
  ['network nobody --network-policy deny-all', 3, /there is no VM "nobody"$/],
  ['network nobody', 3, /there is no VM "nobody"$/],
  ['inspect nobody', 3, /there is no VM "nobody"$/],
  ['start nobody', 3, /there is no VM "nobody"$/],
  ['stop nobody', 3, /there is no VM "nobody"$/],
  ['wait nobody', 3, /there is no VM "nobody"$/],
  ['logs nobody', 3, /there is no VM "nobody"$/],
  ['rm --force nobody', 3, /there is no VM "nobody"$/],
  ['exec nobody true', 125, /there is no VM "nobody"$/],
];

describe('bad input: one clear line, its exit code, and nothing changed', () => {
  let lab: Lab;
  let host: string;
  let vms: unknown;

  before(async () => {
    lab = await Lab.start();
    const flags = ['--name', 'web', '--memory', '256m', '--network-policy', 'deny-all'];
    await lab.vmsan(['create', ...flags], { check: true });
    host = await hostState(lab);
    vms = await lab.vmsanJson(['list']);
  });
  after(async () => {
    await lab?.stop();
  });

  const assertOneLine = ({ exitCode, stdout, stderr }: ExecResult, code: number, line: RegExp) => {
    const [headline = '', hint, ...more] = stderr.trimEnd().split('\n');
    assert.match(headline, /^vmsan: /);
    assert.match(headline, line);
    if (hint !== undefined) assert.match(hint, /^hint: ./);
    assert.deepEqual(more, []);
    assert.equal(stdout, '');
    assert.equal(exitCode, code);
  };
  const assertUnchanged = async () => {
    assert.deepEqual(await lab.vmsanJson(['list']), vms);
    assert.equal(await hostState(lab), host);
  };

  for (const [words, code, line] of BAD) {
    test(`vmsan ${words}: ${code}`, async () => {
      assertOneLine(await lab.vmsan(words.split(' ')), code, line);
      await assertUnchanged();
    });
  }

  test('with --json the same is one object on stderr', async () => {
    const codes = { 1: 'conflict', 2: 'bad_input', 3: 'not_found' } as const;
    // What follows the VM of an exec is the guest's command.
    const bad = BAD.filter(([words]) => !words.startsWith('exec'));
    for (const [words, code, line] of bad) {
      const { exitCode, stderr } = await lab.vmsan([...words.split(' '), '--json']);
      const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
      assert.match(error.message, line, words);
      assert.deepEqual([exitCode, error.code], [code, codes[code as keyof typeof codes]], words);
    }
    await assertUnchanged();
  });

  // Nobody, who may read the program wherever the tree is.
  const asNobody = (argv: readonly string[], env?: Record<string, string>) => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const caps = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
    return lab.exec(
      [...nobody, ...caps, '--', `${TREE}/bin/vmsan`, ...argv],
      env === undefined ? {} : { env },
    );
  };

  test('the socket is not theirs: it is said whose it is', async () => {
    for (const argv of [['list'], ['create'], ['rm', '--force', 'web']]) {
      assertOneLine(await asNobody(argv), 1, /you may not talk to the daemon: .*vmsan\.sock/);
    }
    assertOneLine(await asNobody(['exec', 'web', 'true']), 125, /you may not talk to the daemon/);
    await assertUnchanged();
  });

  test('not root, and no daemon runs: none is started', async () => {
    const ended = await asNobody(['create'], { VMSAN_RUN_DIR: '/run/nobodys' });
    assertOneLine(ended, 1, /vmsan needs root to start its daemon/);
    await assertUnchanged();
  });
});
