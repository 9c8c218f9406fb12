import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import dnsPacket, { type Packet } from 'dns-packet';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { lookUp } from './wired/programs.ts';

const REFUSED = 5;
const SLOT = 1;
const OTHER = 2;
const GATEWAY = '172.16.1.1';
const { names } = world;
/** All that the guest may ask for. None has a port that goes by address. */
const ALLOWED = [world.allowed.name, world.rebind.name, names.text, names.chain, names.service];
const RULES = [...ALLOWED, '*.github.com'];

describe('names under domain rules, by what reaches the resolvers', () => {
  let lab: Lab;
  let networks: WiredNetworks;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(SLOT, { allowedDomains: RULES });
    await networks.add(OTHER, { allowedDomains: RULES });
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const dig = (name: string, ...options: string[]) =>
    lookUp(networks, SLOT, GATEWAY, name, options);
  const queries = async (since: Awaited<ReturnType<Lab['mark']>>) =>
    (await lab.log(since)).filter(({ server }) => server === 'dns');

  test('an allowed name is answered, in the letters it was asked in', async () => {
    const mark = await lab.mark();
    for (const options of [[], ['+tcp'], ['+noedns']]) {
      const answer = await dig('aLLowed.Example.COM', ...options);
      assert.match(answer, /^aLLowed\.Example\.COM\.\s+\d+\s+IN\s+A\s+198\.51\.100\.10$/m);
    }
    assert.match(await dig(world.githubApi.name), /198\.51\.100\.31/);
    const asked = await queries(mark);
    assert.deepEqual(
      asked.map(({ name }) => name),
      ['allowed.example.com', 'api.github.com'],
      'in lower case, and once: the rest came from the cache',
    );
  });

  test('an allowed question leaves without a byte of what the guest added', async () => {
    const mark = await lab.mark();
    const options = [
      '+subnet=198.51.100.0/24',
      '+nsid',
      '+cookie=0123456789abcdef',
      '+ednsopt=65001:736563726574',
    ];
    assert.match(
      await dig(names.text, 'TXT', '+dnssec', '+cdflag', ...options),
      /hello from the lab/,
    );
    const [query, more] = await queries(mark);
    assert.equal(more, undefined);
    // Header, question, an OPT record without options.
    assert.equal(query?.bytes, 12 + names.text.length + 2 + 4 + 11);
  });

  test('of what is not allowed nothing leaves, in any form or letter case', async () => {
    const mark = await lab.mark();
    const secret = '0123456789abcdef'.repeat(3);
    const forbidden = [
      ...['denied.example.com', 'DeNiEd.eXaMpLe.CoM', 'github.com', 'GITHUB.com', 'com', '.'],
      ...[`${secret}.tunnel.example.net`, `${'x'.repeat(63)}.${'y'.repeat(63)}.example.net`],
      ...['allowed.example.com.example.net', 'xallowed.example.com', 'x.allowed.example.com'],
      ...['github.com.example.net', 'xgithub.com', '10.100.51.198.in-addr.arpa'],
    ];
    const types = ['A', 'TXT', 'NULL', 'AAAA', 'MX', 'SRV', 'CNAME', 'NS', 'PTR', 'UNKNOWN_65'];
    const messages = [
      ...forbidden.flatMap((name, i) => [
        message({ questions: [question(name)] }),
        message({ questions: [question(name, types[i % types.length])] }),
      ]),
      message({ questions: [question('allowed.example.com'), question('denied.example.com')] }),
      message({ questions: [question('allowed.example.com', 'NULL')] }),
      message({ questions: [question('allowed.example.com', 'ANY')] }),
      message({ questions: [question('allowed.example.com', 'AXFR')] }),
      message({ opcode: 'UPDATE', questions: [question('denied.example.com')] } as never),
      // A dot inside a label: "a.github" and "com", which is not below github.com.
      `${header(1)}08612e6769746875620363${'6f6d'}0000010001`,
      // A zero byte in a label, before and after what a rule has.
      `${header(1)}0378007906676974687562${'03636f6d'}0000010001`,
      `${header(1)}0a6769746875622e63006d03636f6d0000010001`,
      // The name behind a pointer to itself, and a message that ends too early.
      `${header(1)}c00c00010001`,
      `${header(1)}06646e69`,
    ];
    for (const server of [GATEWAY, world.resolver.address, world.otherResolver.address]) {
      const argv = [process.execPath, `${TREE}/test/kernel/wired/queries.ts`, server];
      const { stdout, stderr } = await networks.exec(SLOT, [...argv, JSON.stringify(messages)]);
      assert.notEqual(stdout, '', stderr);
      const answers = JSON.parse(stdout) as (number | 'silent')[][];
      for (const [index, answer] of answers.entries()) {
        assert.ok(!answer.includes(0), `${messages[index]}: ${answer.join()}`);
        if (index < forbidden.length * 2) assert.deepEqual(answer, [REFUSED, REFUSED]);
      }
    }
    assert.deepEqual(await queries(mark), []);
  });

  test('a refusal says why', async () => {
    assert.match(
      await dig('denied.example.com'),
      /EDE: 18 \(Prohibited\): \(vmsan: no rule allows denied\.example\.com\)/,
    );
    assert.match(await dig('denied.example.com'), /status: REFUSED/);
  });

  test('an answer that points into the LAN is dropped, until that network is allowed', async () => {
    const dropped = await dig(world.rebind.name);
    assert.match(dropped, /status: NOERROR/);
    assert.match(dropped, /ANSWER: 0/);
    assert.match(dropped, /EDE: 17 \(Filtered\): \(vmsan: .*10\.20\.0\.10\)/);
    const policy = { allowedDomains: RULES, allowedCidrs: ['10.20.0.0/16'] };
    await networks.do({ do: 'policy', slot: SLOT, policy, generation: 2 });
    assert.match(await dig(world.rebind.name), /\sA\s+10\.20\.0\.10$/m);
    await networks.do({
      do: 'policy',
      slot: SLOT,
      policy: { allowedDomains: RULES },
      generation: 3,
    });
    assert.match(await dig(world.rebind.name), /ANSWER: 0/);
  });

  test('aliases lead to names that no rule has; service records come without addresses and ech', async () => {
    assert.match(await dig(names.chain), new RegExp(`\\sA\\s+${world.website.address}$`, 'm'));
    assert.match(await dig(world.website.name), /status: REFUSED/);
    const service = await dig(names.service, 'HTTPS');
    assert.match(service, /HTTPS\s+1 \. alpn="h2" port=443$/m);
  });

  test('when the gate dies names close, and the next one answers under the same policy', async () => {
    const pids = await lab.exec(['pgrep', '-f', 'gate.mjs'], { check: true });
    const [pid] = pids.stdout.trim().split('\n');
    await lab.exec(['kill', '-9', pid!], { check: true });
    await until('a new gate answers', async () =>
      /198\.51\.100\.10/.test(await dig(world.allowed.name)),
    );
    assert.match(await dig('denied.example.com'), /status: REFUSED/);
  });

  test('a guest that floods the resolver does not silence another', async () => {
    const script = `const socket = require('node:dgram').createSocket('udp4');
      const message = Buffer.from('${message({ questions: [question(names.chain)] })}', 'hex');
      console.log('begun');
      const more = () => socket.send(message, 53, '${GATEWAY}', () => setImmediate(more));
      for (let i = 0; i < 64; i++) more();`;
    const flood = networks.spawn(SLOT, [process.execPath, '-e', script]);
    try {
      await new Promise((begun) => flood.stdout!.once('data', begun));
      for (let i = 0; i < 10; i++) {
        const answer = await lookUp(networks, OTHER, '172.16.2.1', world.allowed.name);
        assert.match(answer, /198\.51\.100\.10/, `at the first try, ${i}`);
      }
    } finally {
      killGroup(flood);
    }
  });
});

function question(name: string, type = 'A') {
  return { name, type: type as 'A' };
}

function message(packet: Partial<Packet>): string {
  const whole: Packet = { type: 'query', id: 7, flags: dnsPacket.RECURSION_DESIRED, ...packet };
  return dnsPacket.encode(whole).toString('hex');
}

function header(questions: number): string {
  return `00070100000${questions}000000000000`;
}
