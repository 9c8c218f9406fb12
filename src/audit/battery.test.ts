import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planHost, planVm } from '../net/plan.ts';
import { readPolicy, type PolicyWords } from '../policy/policy.ts';
import { ALERT, fatalAlert } from '../proxy/tls-records.ts';
import { Battery } from './battery.ts';
import { ETHER, ethernet, ipv4, readFrame, tcp } from './frames.ts';
import type { Site } from './site.ts';

const pools = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
const host = planHost(pools);
const vm = planVm(pools, 3, 'vm-00000001');

function siteOf(words: PolicyWords): Site {
  return {
    policy: readPolicy(words).policy,
    vm,
    host,
    world: {
      vmPools: Object.values(pools),
      hostAddresses: ['127.0.0.1', '192.0.2.10'],
      gateway: vm.gatewayIp,
    },
    neighbours: [],
    listeningAt: () => 22,
    oldFlows: [{ protocol: 'udp', destination: '203.0.113.9', from: 40_000, to: 7 }],
  };
}

interface Line {
  id: number;
  frames?: { send: string[] };
  talk?: { address: string; port: number };
}

function begin(words: PolicyWords) {
  const battery = new Battery(siteOf(words));
  const lines = battery.input
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const sent = lines[0]!.frames!.send.map((one) => Buffer.from(one, 'base64'));
  const finish = (output: object[], frames: Buffer[] = [], whole = true) => {
    const text = output.map((line) => JSON.stringify(line)).join('\n');
    const judged = battery.judge(text, { frames, whole });
    return new Map(judged.map(({ name, ...rest }) => [name, rest]));
  };
  return { battery, talks: lines.slice(1), sent, finish };
}

const NAMES = { allowedDomains: ['api.example.com', '*.github.com'] };

test('silence holds nothing: without a witness what was tried is not judged', () => {
  for (const words of [{ base: 'deny-all' }, { base: 'allow-all' }, NAMES]) {
    const { finish } = begin(words);
    const judged = [...finish([], [], false).values()];
    const verdicts = new Set(judged.map(({ verdict }) => verdict));
    assert.ok(!verdicts.has('escaped'));
    for (const { verdict, detail } of judged) {
      if (verdict === 'held') assert.match(detail, /no rule|no name is|addresses decide/);
    }
  }
});

test('what nobody saw leave was held, if everything else was seen', () => {
  const { finish } = begin({ base: 'deny-all' });
  const judged = finish([]);
  for (const name of ['direct address', 'metadata', 'IPv6', 'VLAN tags', 'stray segments']) {
    assert.equal(judged.get(name)?.verdict, 'held', name);
  }
  assert.equal(judged.get('wrong SNI')?.verdict, 'not judged', 'nothing is known of the talk');
});

test('each frame that is seen at the link is an escape, and nothing is taken for another', () => {
  const { sent, finish } = begin({ base: 'deny-all' });
  // The guest's own ARP and its last query may leave; queries go to the gate.
  const escapes = sent.filter((frame) => {
    const packet = readFrame(frame);
    if (frame.readUInt16BE(12) === ETHER.ARP || frame === sent.at(-1)) return false;
    const judged = [...finish([], [frame]).values()];
    const escaped = judged.filter(({ verdict }) => verdict === 'escaped');
    // An address that two attempts go to with the same protocol and port may be both's.
    assert.ok(escaped.length >= 1, `${packet?.destination}:${packet?.to} is nobody's`);
    return true;
  });
  assert.ok(escapes.length > 60, String(escapes.length));
});

test('TLS: an alert of the proxy’s holds, a server’s words are an escape', () => {
  const { talks, finish } = begin(NAMES);
  const answerAll = (read: Buffer) =>
    talks.map(({ id }) => ({
      id,
      talk: { localPort: 40_000, end: 'eof', read: [read.toString('base64')] },
    }));
  const refused = finish(answerAll(fatalAlert(ALERT.ACCESS_DENIED)));
  const served = finish(answerAll(Buffer.from('16030300050200000100', 'hex')));
  const doubtful = finish(answerAll(fatalAlert(ALERT.HANDSHAKE_FAILURE)));
  for (const name of ['wrong SNI', 'no SNI', 'ECH', 'split hello', 'no TLS on 443']) {
    assert.equal(refused.get(name)?.verdict, 'held', name);
    assert.equal(served.get(name)?.verdict, 'escaped', name);
    assert.equal(doubtful.get(name)?.verdict, 'not judged', name);
  }
  assert.equal(refused.get('retry hello')?.verdict, 'not judged', 'no server asked for another');
});

test('a conversation that left for anywhere but the gate is an escape, whatever was said', () => {
  const { talks, finish } = begin(NAMES);
  const said = talks.map(({ id }) => ({
    id,
    talk: {
      localPort: 40_000 + id,
      end: 'eof',
      read: [fatalAlert(ALERT.ACCESS_DENIED).toString('base64')],
    },
  }));
  const syn = (id: number, destination: string, to: number) =>
    ethernet(
      vm.gatewayMac,
      vm.guestMac,
      ETHER.IPV4,
      ipv4(vm.guestIp, destination, tcp(vm.guestIp, destination, { from: 40_000 + id, to })),
    );
  const proxied = talks.map(({ id }) => syn(id, host.gateIp, host.tlsPort));
  assert.equal(finish(said, proxied).get('wrong SNI')?.verdict, 'held');
  const direct = talks.map(({ id, talk }) => syn(id, talk!.address, talk!.port));
  assert.equal(finish(said, direct).get('wrong SNI')?.verdict, 'escaped');
});

test('what the policy allows is not tried', () => {
  const { talks, sent, finish } = begin({ base: 'allow-all' });
  assert.equal(finish([]).get('direct address')?.verdict, 'allowed');
  assert.deepEqual(talks, []);
  const toNobody = sent
    .map(readFrame)
    .filter((packet) => packet?.destination === '203.0.113.20' && packet.protocol === 17);
  assert.deepEqual(toNobody, []);
});

test('a guest may answer anything', () => {
  const { finish } = begin(NAMES);
  const nonsense = [
    null,
    [],
    'x',
    { id: 0, frames: { received: [1, {}, 'AA=='] } },
    { id: 1, talk: { read: 5 } },
  ];
  const judged = [...finish(nonsense as object[]).values()];
  assert.ok(judged.every(({ verdict }) => verdict !== 'escaped'));
});
