import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { NetworkJson, VmJson } from '../../src/cli/print/vm.ts';
import type { Contact } from '../lab/internet/journal.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

const { allowed, denied, shared } = world;
const { lines } = world.ports;
const RULES = `${allowed.name},${allowed.name}:${lines}`;
const CA = '/root/lab-ca.pem';

interface Receipt {
  after: NetworkJson;
  leasesDropped: number;
}

describe('policies by name, on a real VM: two names on one address', () => {
  let lab: Lab;
  let web: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    web = await lab.vmsanJson<VmJson>(['create', '--name', 'web', '--allowed-domain', RULES]);
    const stdin = readFileSync(lab.caFile, 'utf8');
    await lab.vmsan(['exec', '-i', 'web', 'tee', CA], { stdin, check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const inside = (...argv: string[]) => lab.vmsan(['exec', 'web', ...argv]);
  const curl = (...argv: string[]) =>
    inside('curl', '-sS', '--cacert', CA, '-m', '20', '-w', '%{http_code}', ...argv);
  /** A line sent to a port, and the answer. */
  const say = (name: string, words: string) =>
    inside(
      'timeout',
      '20',
      'bash',
      '-c',
      `exec 3<>/dev/tcp/${name}/${lines} && read hello <&3 && echo ${words} >&3 && head -1 <&3`,
    );
  const isAbout = (name: string) => (contact: Contact) =>
    [contact.sni, contact.host, contact.name].some((said) => said?.toLowerCase().includes(name));

  test('what was asked for is what holds', () => {
    assert.equal(web.network.policy, 'custom');
    assert.equal(web.network.default, 'deny');
    assert.deepEqual(web.network.allowedDomains, [allowed.name, `${allowed.name}:${lines}`]);
  });

  test('the allowed name works: HTTPS, HTTP, and the port in its rule', async () => {
    const mark = await lab.mark();
    for (const scheme of ['https', 'http']) {
      const { stdout, stderr } = await curl(`${scheme}://${allowed.name}/some/path`);
      assert.match(stdout, /"path":"\/some\/path".*\n?200$/s, stderr);
    }
    const { stdout, stderr } = await say(allowed.name, 'hello');
    assert.equal(stdout, 'you said: hello\n', stderr);
    const contacts = (await lab.log(mark)).filter(({ server }) => server !== 'dns');
    assert.deepEqual(
      new Set(contacts.map(({ server }) => server)),
      new Set(['https', 'http', 'lines']),
    );
    assert.deepEqual(new Set(contacts.map(({ address }) => address)), new Set([shared.address]));
  });

  test('the denied name on the same address fails by every way, and no byte of it arrives', async () => {
    const mark = await lab.mark();
    const pinned = ['--resolve', `${denied.name}:443:${shared.address}`];
    const byName = await curl(`https://${denied.name}/`);
    assert.equal(byName.exitCode, 6, 'it does not resolve');
    const tls = await curl(...pinned, `https://${denied.name}/`);
    assert.notEqual(tls.exitCode, 0);
    const loud = await curl(...pinned, `https://${denied.name.toUpperCase()}/`);
    assert.notEqual(loud.exitCode, 0);
    const http = await curl('-H', `Host: ${denied.name}`, `http://${shared.address}/`);
    assert.match(http.stdout, new RegExp(`${denied.name}.*403$`, 's'));
    const hidden = await curl('-H', `Host: ${denied.name}`, `http://${allowed.name}/`);
    assert.match(hidden.stdout, /403$/);
    assert.equal((await say(denied.name, 'hello')).stdout, '');
    const nameless = await curl('-k', `https://${shared.address}/`);
    assert.notEqual(nameless.exitCode, 0, 'no name, no connection');
    const contacts = await lab.reached(mark);
    assert.deepEqual(contacts.filter(isAbout('denied')), []);
    assert.deepEqual(
      contacts.filter(({ server }) => server !== 'dns'),
      [],
    );
  });

  test('explain says so too: by which rule, and which name holds the address', async () => {
    const explain = async (...words: string[]) =>
      (await lab.vmsan(['explain', ...words], { check: true })).stdout;
    const held = await explain('web', `${allowed.name}:${lines}`);
    assert.match(held, new RegExp(`^lookup +allowed .*\\(${allowed.name}\\)$`, 'm'));
    assert.match(held, new RegExp(`^tcp 5432 +allowed +by address: ${shared.address}`, 'm'));
    assert.match(
      held,
      new RegExp(`^${allowed.name} holds ${shared.address} for \\d+ s, at tcp 5432$`, 'm'),
    );
    const no = await explain('web', `https://${denied.name}/`);
    assert.match(no, /^lookup +denied +no rule allows denied\.example\.com$/m);
    assert.match(no, /^tcp 443 +denied/m);
    const address = await explain('web', shared.address);
    assert.match(address, /^tcp 443 +by its name/m);
    assert.match(address, /^icmp +denied/m);
    const before = await explain('api.github.com:22', '--allowed-domain', '*.github.com');
    assert.match(before, /^tcp 22 +denied +no rule allows api\.github\.com at tcp 22$/m);
  });

  test('other ports of the allowed name stay shut, and so do other names', async () => {
    const mark = await lab.mark();
    const other = await curl(`http://${allowed.name}:${world.ports.echo}/`);
    assert.equal(other.exitCode, 7);
    assert.equal((await curl(`https://${world.website.name}/`)).exitCode, 6);
    assert.notEqual((await curl('-k', `https://${world.website.address}/`)).exitCode, 0);
    const contacts = await lab.reached(mark);
    assert.deepEqual(
      contacts.filter(({ server }) => server !== 'dns'),
      [],
    );
    assert.deepEqual(contacts.filter(isAbout('example.org')), []);
  });

  test('it holds when the daemon is started anew, and what names hold with it', async () => {
    await lab.vmsan(['daemon', 'stop'], { check: true });
    const { stdout } = await lab.vmsan(['network', 'web'], { check: true });
    assert.match(stdout, new RegExp(`allowed +${allowed.name} ${allowed.name}:${lines}`));
    const answer = await say(shared.address, 'again');
    assert.equal(answer.stdout, 'you said: again\n', answer.stderr);
    await until('a name resolves', async () => (await say(allowed.name, 'hi')).exitCode === 0, {
      deadlineMs: 30_000,
    });
    assert.match((await curl(`https://${allowed.name}/`)).stdout, /200$/);
    assert.equal((await curl(`https://${denied.name}/`)).exitCode, 6);
  });

  test('a change takes hold at once: the name, its leases, its connections', async () => {
    const flow = lab.spawn(['vmsan', 'exec', 'web', 'curl', '-sSN', `http://${allowed.name}/drip`]);
    let received = 0;
    flow.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
    await until('the stream flows', () => received > 0, { deadlineMs: 30_000 });
    const wider = ['network', 'web', '--allowed-domain', `${RULES},*.github.com`];
    const kept = await lab.vmsanJson<Receipt>(wider);
    assert.equal(kept.leasesDropped, 0);
    const seen = received;
    await until('the stream goes on', () => received > seen);
    const narrower = ['network', 'web', '--allowed-domain', '*.github.com'];
    const { after: now, leasesDropped } = await lab.vmsanJson<Receipt>(narrower);
    assert.deepEqual(now.allowedDomains, ['*.github.com']);
    assert.equal(leasesDropped, 1);
    await until('the stream has ended', () => flow.exitCode !== null, { deadlineMs: 30_000 });
    assert.equal((await curl(`https://${allowed.name}/`)).exitCode, 6);
    assert.equal((await say(shared.address, 'hello')).stdout, '');
    assert.match((await curl(`https://${world.githubApi.name}/`)).stdout, /200$/);
    assert.equal((await curl(`https://${world.github.name}/`)).exitCode, 6, 'not the apex');
  });
});
