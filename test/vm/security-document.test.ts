import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';

interface Row {
  what: string;
  command: string;
  shows: string;
}

describe('docs/security.md: what it says to type shows what it says', () => {
  let lab: Lab;
  let words: Record<string, string>;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    const create = (name: string, ...more: string[]) =>
      lab.vmsanJson<VmJson>(['create', '--name', name, '--network-policy', 'deny-all', ...more]);
    const web = await create('web', '--publish-port', '127.0.0.1:8080:80');
    const other = await create('other');
    words = {
      vm: web.name,
      id: web.id,
      pid: String(web.pid),
      S: String(web.slot),
      other: String(other.slot),
    };
  });
  after(async () => {
    await lab?.stop();
  });

  const fill = (text: string) => text.replaceAll(/<(\w+)>/g, (all, word) => words[word] ?? all);
  const rows = rowsOf(readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8'));

  for (const { what, command, shows } of rows) {
    test(`${what}: ${command}`, async () => {
      const { stdout, stderr } = await lab.exec(['sh', '-c', fill(command)]);
      assert.ok(`${stdout}${stderr}`.includes(fill(shows)), `${stdout}${stderr}`);
    });
  }

  test('there are such commands', () => assert.ok(rows.length > 20, String(rows.length)));
});

/** The rows of four columns whose last two are one piece of code each. */
function rowsOf(document: string): Row[] {
  return document.split('\n').flatMap((line) => {
    const cells = line
      .replaceAll('\\|', '\0')
      .split('|')
      .map((cell) => cell.trim());
    const [, what = '', , see = '', shown = ''] = cells;
    const [command, shows] = [see, shown].map((cell) => /^`(.*)`$/.exec(cell)?.[1]);
    if (command === undefined || shows === undefined) return [];
    return [{ what, command: command.replaceAll('\0', '|'), shows: shows.replaceAll('\0', '|') }];
  });
}
