import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { TrafficJson } from '../../src/cli/print/traffic.ts';
import type { NetworkJson, VmJson } from '../../src/cli/print/vm.ts';
import type { Contact } from '../lab/internet/journal.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

const { allowed, denied, shared } = world;
const { lines } = world.ports;
const RULES = `${allowed.name},${allowed.name}:${lines}`;
const CA = '/root/lab-ca.pem';

interface Receipt {
  after: NetworkJson;
  connectionsClosed: number;
  leasesDropped: number;
}

interface Explained {
  proxied: number;
  decided: { allowed: number; denied: number };
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

  test('traffic tells all of it, with rule and reason, and obeys nothing of the guest’s', async () => {
    const { address } = world.github;
    const tried = await inside('timeout', '20', 'bash', '-c', `: 3<>/dev/tcp/${address}/${lines}`);
    assert.notEqual(tried.exitCode, 0);
    const odd = `import socket
q = bytes.fromhex('000001000001000000000000') + b'\\x08\\x1b[31mred'
q += b'\\x07example\\x00\\x00\\x01\\x00\\x01'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(q, ('${web.gatewayIp}', 53))
s.recv(512)`;
    const asked = await inside('python3', '-c', odd);
    assert.equal(asked.exitCode, 0, asked.stderr);
    const traffic = () => lab.vmsanJson<TrafficJson[]>(['traffic', 'web']);
    const find = (told: TrafficJson[], kind: string, verdict: string, what: RegExp) =>
      told.find((each) => each.kind === kind && each.verdict === verdict && what.test(each.what));
    await until('the last of it is told', async () => find(await traffic(), 'dns', 'deny', /red/));
    const told = await traffic();
    const expected: [
      kind: string,
      verdict: string,
      what: RegExp,
      rule: string | null,
      why: RegExp,
    ][] = [
      ['dns', 'allow', /^allowed\.example\.com$/, allowed.name, /^/],
      ['tls', 'allow', /^allowed\.example\.com$/, allowed.name, /^/],
      ['http', 'allow', /^GET http:\/\/allowed\.example\.com\/some\/path$/, allowed.name, /^/],
      ['address', 'allow', new RegExp(`^${shared.address}:${lines}$`), 'learned', /may be reached/],
      ['dns', 'deny', /^denied\.example\.com$/, null, /no rule allows denied\.example\.com/],
      ['tls', 'deny', /^denied\.example\.com$/, null, /no rule allows denied\.example\.com/],
      ['http', 'deny', /http:\/\/denied\.example\.com/, null, /no rule allows denied/],
      ['address', 'deny', new RegExp(`^${address}:${lines}$`), 'default', /custom denies it/],
    ];
    for (const [kind, verdict, what, rule, why] of expected) {
      const entry = find(told, kind, verdict, what);
      assert.ok(entry, `${kind} ${verdict} ${what} in ${JSON.stringify(told, null, 1)}`);
      assert.equal(entry.rule, rule);
      assert.match(entry.reason, why);
      assert.ok(entry.count >= 1 && entry.firstAt <= entry.at);
    }
    assert.deepEqual(
      told,
      told.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)),
    );
    const { stdout } = await lab.vmsan(['traffic', 'web', '--denied', '--since', '1h'], {
      check: true,
    });
    assert.match(stdout, /^TIME .* COUNT\n/);
    assert.match(stdout, /red\.example +denied/);
    assert.doesNotMatch(stdout, /\x1b| allowed {2,}/);
  });

  test('it holds when the daemon is started anew, and what names hold with it', async () => {
    const before = await lab.vmsanJson<TrafficJson[]>(['traffic', 'web']);
    const follower = lab.spawn(['vmsan', 'traffic', 'web', '--follow', '--since', '1s', '--json']);
    let followed = '';
    follower.stdout!.on('data', (chunk: Buffer) => (followed += chunk.toString()));
    await say(allowed.name, 'hello');
    await until('it is followed', () => followed.includes('"address"'));
    await lab.vmsan(['daemon', 'stop'], { check: true });
    const { stdout } = await lab.vmsan(['network', 'web'], { check: true });
    assert.match(stdout, new RegExp(`allowed +${allowed.name} ${allowed.name}:${lines}`));
    const answer = await say(shared.address, 'again');
    assert.equal(answer.stdout, 'you said: again\n', answer.stderr);
    await until('a name resolves', async () => (await say(allowed.name, 'hi')).exitCode === 0, {
      deadlineMs: 30_000,
    });
    assert.match((await curl(`https://${allowed.name}/`)).stdout, /200$/);
    const seen = followed.length;
    assert.equal((await curl(`https://${denied.name}/`)).exitCode, 6);
    await until('it is followed further', () => followed.slice(seen).includes(denied.name));
    killGroup(follower);
    const after = await lab.vmsanJson<TrafficJson[]>(['traffic', 'web']);
    for (const { kind, what, verdict, count, firstAt } of before) {
      const kept = after.find(
        (each) =>
          each.kind === kind &&
          each.what === what &&
          each.verdict === verdict &&
          each.firstAt === firstAt,
      );
      assert.ok(kept && kept.count >= count, `${kind} ${what} is kept`);
    }
  });

  test('a change takes hold at once: the name, its leases, its connections', async () => {
    const flow = lab.spawn(['vmsan', 'exec', 'web', 'curl', '-sSN', `http://${allowed.name}/drip`]);
    let received = 0;
    flow.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
    await until('the stream flows', () => received > 0, { deadlineMs: 30_000 });
    const { proxied, decided } = await lab.vmsanJson<Explained>([
      'explain',
      'web',
      `http://${allowed.name}/`,
    ]);
    assert.equal(proxied, 1);
    assert.ok(decided.allowed > 0);
    const dry = ['network', 'web', '--dry-run', '--allowed-domain', '*.github.com'];
    assert.equal((await lab.vmsanJson<Receipt>(dry)).connectionsClosed, 1);
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
