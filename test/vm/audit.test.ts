import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { NetworkJson, VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

interface AuditJson {
  network: NetworkJson;
  attempts: { name: string; verdict: string; expected: string; detail: string }[];
}

const { allowed, rebind } = world;
const REBINDING = ['--rebinding-name', rebind.name];
const BY_NAME = [
  '--allowed-domain',
  `${allowed.name},${allowed.name}:${world.ports.lines},${rebind.name}`,
];
/** Not to be judged as long as no flow of before is open. */
const OLD_FLOW = 'old flow after tightening';

describe('vmsan audit, on a real VM', () => {
  let lab: Lab;
  let web: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    const create = ['create', '--memory', '256m', '--network-policy', 'deny-all', '--name'];
    web = await lab.vmsanJson<VmJson>([...create, 'web']);
  });
  after(async () => {
    await lab?.stop();
  });

  const change = (...flags: string[]) => lab.vmsan(['network', 'web', ...flags], { check: true });
  const audit = async () => {
    const { stdout, stderr, exitCode } = await lab.vmsan(['audit', 'web', '--json', ...REBINDING]);
    assert.notEqual(stdout, '', stderr);
    const { attempts, network } = JSON.parse(stdout) as AuditJson;
    const named = (verdict: string) =>
      attempts.filter((one) => one.verdict === verdict).map(({ name }) => name);
    const text = attempts.map((one) => `${one.name}: ${one.verdict}: ${one.detail}`).join('\n');
    return { attempts, network, named, exitCode, text };
  };
  const strange = (text: string) => /example\.org|dns\.google|vmsan/i.test(text);

  const policies: { flags: string[]; open: string[]; reached: string[] }[] = [
    { flags: ['--network-policy', 'deny-all'], open: [], reached: [] },
    { flags: ['--allowed-cidr', '10.20.0.0/16'], open: [], reached: [] },
    {
      flags: BY_NAME,
      open: ['fronting inside TLS', 'another name at the same address'],
      reached: [world.resolver.address, allowed.address],
    },
    {
      flags: [...BY_NAME, '--allowed-cidr', '192.168.77.0/24', '--denied-cidr', '203.0.113.0/24'],
      open: ['fronting inside TLS', 'another name at the same address'],
      reached: [world.resolver.address, allowed.address],
    },
  ];
  for (const { flags, open, reached } of policies) {
    test(`it holds under ${flags.join(' ')}, and so says the internet`, async () => {
      await change(...flags);
      const mark = await lab.mark();
      const { named, text, exitCode, network } = await audit();
      assert.deepEqual(named('escaped'), [], text);
      assert.equal(exitCode, 0);
      assert.deepEqual(named('not judged'), [OLD_FLOW], text);
      assert.deepEqual(named('open'), open, text);
      assert.ok(named('held').length >= 30, text);
      assert.equal(network.default, 'deny');
      const arrivals = (await lab.arrivals(mark)).map(({ address }) => address);
      assert.deepEqual(
        arrivals.filter((address) => !reached.includes(address)),
        [],
      );
      const contacts = await lab.log(mark);
      assert.deepEqual(
        contacts.filter(({ name = '', sni = '', host = '' }) => strange(`${name} ${sni} ${host}`)),
        [],
      );
    });
  }

  test('allow-all, and all but some: what is closed under every policy holds', async () => {
    await using listener = await lab.listenOnHost(8000);
    for (const flags of [[], ['--denied-cidr', 'private']]) {
      const base = flags.length === 0 ? 'allow-all' : 'custom';
      await change('--network-policy', base, ...flags);
      const mark = await lab.mark();
      const { named, text, exitCode } = await audit();
      assert.deepEqual(named('escaped'), [], text);
      assert.equal(exitCode, 0);
      assert.deepEqual(named('not judged'), [OLD_FLOW], text);
      const always = ['metadata', 'neighbour VM', 'host services', 'IPv6', 'stray segments'];
      for (const name of always) assert.ok(named('held').includes(name), `${name}\n${text}`);
      assert.ok(named('allowed').includes('direct address'), text);
      const denied = named(flags.length === 0 ? 'allowed' : 'held');
      assert.ok(denied.includes('denied network'), text);
      assert.match(text, /TCP 192\.0\.2\.10:8000/);
      for (const address of [...world.neverReachable, world.lan.address, '10.0.0.1']) {
        assert.equal(await lab.packetsTo(address, { since: mark }), 0, address);
      }
    }
    assert.deepEqual(await listener.log(), []);
  });

  const nft = (...words: string[]) =>
    lab.exec(['ip', 'netns', 'exec', web.netns ?? '', 'nft', ...words], { check: true });
  test('an old flow after tightening holds, and it tells when one goes on', async () => {
    await change('--network-policy', 'allow-all');
    // Of a flow that is silent, or its own next packet would end it.
    const talk = `exec 3<>/dev/udp/${world.website.address}/${world.ports.echo}; echo hi >&3; head -1 <&3`;
    const echo = await lab.vmsan(['exec', 'web', 'timeout', '20', 'bash', '-c', talk]);
    assert.equal(echo.stdout, 'hi\n');
    await change('--network-policy', 'deny-all');
    const holds = await audit();
    assert.ok(holds.named('held').includes(OLD_FLOW), holds.text);
    assert.match(holds.text, new RegExp(`${OLD_FLOW}: held: UDP .*: nothing of it left`));
    await nft('insert rule inet vmsan forward ct state established accept');
    const { named, text } = await audit();
    assert.deepEqual(named('escaped'), [OLD_FLOW], text);
    assert.match(text, new RegExp(`${OLD_FLOW}: escaped: .*UDP ${world.website.address}:7`));
  });

  /** A layer that is gone, by hand, and the attempts that tell. */
  const holes: { what: string; flags: string[]; nft: string[]; tell: string[] }[] = [
    {
      what: 'frames are not looked at',
      flags: ['--network-policy', 'deny-all'],
      nft: ['insert rule netdev vmsan frames accept'],
      tell: ['spoofed source address', 'ARP in another’s name'],
    },
    {
      what: 'the policy accepts',
      flags: ['--network-policy', 'deny-all'],
      nft: ['insert rule inet vmsan forward accept'],
      tell: [
        ...['direct address', 'metadata', 'neighbour VM', 'QUIC', 'ICMP', 'odd protocols'],
        ...['DNS over TLS, over QUIC', 'DNS over HTTPS', 'wrong SNI', 'wrong Host', 'fragments'],
      ],
    },
    {
      what: 'nothing is never reachable',
      flags: ['--network-policy', 'allow-all'],
      nft: ['flush set inet vmsan never'],
      tell: ['metadata', 'reserved addresses', 'odd protocols', 'ICMP'],
    },
    {
      what: 'the pools are open',
      flags: ['--network-policy', 'allow-all'],
      nft: ['flush set inet vmsan vm_pools'],
      tell: ['neighbour VM', 'host services'],
    },
    {
      what: 'nothing is denied',
      flags: ['--network-policy', 'custom', '--denied-cidr', 'private'],
      nft: ['flush set inet vmsan denied'],
      tell: ['denied network'],
    },
    {
      what: 'queries go where they are sent',
      flags: BY_NAME,
      nft: [
        'flush chain inet vmsan resolver',
        'insert rule inet vmsan forward udp dport 53 accept',
      ],
      tell: ['foreign resolver, UDP'],
    },
    {
      what: 'the web goes past the proxy',
      flags: BY_NAME,
      nft: [
        'flush chain inet vmsan proxy',
        ...['dport', 'sport'].map(
          (port) => `insert rule inet vmsan forward tcp ${port} 443 accept`,
        ),
      ],
      tell: ['wrong SNI', 'no SNI', 'ECH', 'split hello', 'retry hello', 'no TLS on 443'],
    },
    {
      what: 'hidden names are let through',
      flags: BY_NAME,
      nft: [
        'insert rule inet vmsan outbound meta l4proto . th dport { tcp . 853, udp . 443 } accept',
      ],
      tell: ['DNS over TLS, over QUIC', 'QUIC'],
    },
    {
      what: 'segments of no flow are let through',
      flags: ['--network-policy', 'allow-all'],
      nft: ['insert rule inet vmsan forward ct state invalid accept'],
      tell: ['stray segments'],
    },
  ];
  for (const { what, flags, nft: rules, tell } of holes) {
    test(`it tells when ${what}`, async () => {
      await change(...flags);
      await nft(rules.join('; '));
      const { named, text, exitCode } = await audit();
      assert.deepEqual(
        tell.filter((name) => !named('escaped').includes(name)),
        [],
        text,
      );
      assert.equal(exitCode, 1);
      // Replaces the whole ruleset.
      await change(...flags);
    });
  }

  test('what somebody takes from the host’s table is put back, and it holds', async () => {
    await change('--network-policy', 'allow-all');
    const table = async () =>
      (await lab.exec(['nft', 'list', 'table', 'inet', 'vmsan'], { check: true })).stdout;
    const whole = await table();
    const rules = ['to_host', 'listening'].map((chain) => `flush chain inet vmsan ${chain}`);
    await lab.exec(['nft', rules.join('; ')], { check: true });
    await until('the table is whole again', async () => (await table()) === whole);
    // What was let through of frames above still is.
    const { named, text } = await audit();
    assert.ok(named('held').includes('host services'), text);
  });

  test('it leaves nothing in the guest, and needs a VM that runs', async () => {
    const { stdout } = await lab.vmsan(['exec', '--list', 'web'], { check: true });
    assert.doesNotMatch(stdout, /probe/);
    await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
    const stopped = await lab.vmsan(['audit', 'web']);
    assert.equal(stopped.exitCode, 1);
    assert.match(stopped.stderr, /^vmsan: web is stopped/);
    assert.equal((await lab.vmsan(['audit', 'nobody'])).exitCode, 3);
  });
});
