import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { firstLine } from '../lab/machine.ts';
import { TREE } from '../lab/paths.ts';
import * as world from '../lab/world.ts';
import type { Question } from './wired/ask.ts';
import { WiredNetworks, type Said } from './wired/commands.ts';
import { talk, talking } from './wired/conversation.ts';
import { fetch, ping } from './wired/programs.ts';

const ASK = `${TREE}/test/kernel/wired/ask.ts`;
const GUEST = '172.16.1.2';
/** What masquerades 127.0.0.1 on the link of slot 1. */
const TRANSIT = '10.200.0.4';
const OUTSIDE = world.router.address;
const { address: HOST, address6: HOST6 } = world.host;
const LOCALHOST = '127.0.0.1';

describe('published ports, by packets', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let server: ReturnType<WiredNetworks['spawn']>;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(1, 'deny-all');
    await networks.add(2, 'allow-all');
    const argv = [process.execPath, `${TREE}/test/kernel/wired/serve.ts`];
    server = networks.spawn(1, [...argv, '80', '81', '82', '8080']);
    await firstLine(server, 'the server in the guest');
  });
  after(async () => {
    if (server !== undefined) killGroup(server);
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const publish = (ports: string[], policy: Said = 'deny-all', slot = 1) =>
    networks.do({ do: 'publish', slot, ports, policy, generation: ++generation });
  const setPolicy = (policy: Said, slot = 1) =>
    networks.do({ do: 'policy', slot, policy, generation: ++generation });
  const asking = (questions: Question[]) => [...[process.execPath, ASK, JSON.stringify(questions)]];
  const here = async (...questions: Question[]) =>
    JSON.parse((await lab.exec(asking(questions), { check: true })).stdout) as string[];
  const outside = async (...questions: Question[]) =>
    JSON.parse((await lab.internetExec(asking(questions), { check: true })).stdout) as string[];
  const inside = async (slot: number, ...questions: Question[]) =>
    JSON.parse((await networks.exec(slot, asking(questions), { check: true })).stdout) as string[];
  const ofBoth = (address: string, port: number): Question[] => [
    { address, port },
    { address, port, protocol: 'udp' },
  ];

  test('answer the host by localhost and its own address, and others, under deny-all', async () => {
    await publish(['8080', '8080/udp']);
    assert.deepEqual(
      await here(...ofBoth(LOCALHOST, 8080), ...ofBoth('127.0.0.2', 8080), ...ofBoth(HOST, 8080)),
      [TRANSIT, TRANSIT, TRANSIT, TRANSIT, HOST, HOST].map((seen) => `from ${seen} at 8080`),
    );
    assert.deepEqual(
      await outside(...ofBoth(HOST, 8080)),
      Array<string>(2).fill(`from ${OUTSIDE} at 8080`),
      'the guest sees who comes',
    );
  });

  test('by IPv6 are refused at once, so that a client goes on to IPv4', async () => {
    assert.deepEqual(await here(...ofBoth('::1', 8080), ...ofBoth(HOST6, 8080)), [
      ...Array<string>(4).fill('refused'),
    ]);
    assert.deepEqual(await outside({ address: HOST6, port: 8080 }), ['refused']);
    assert.deepEqual(await here({ address: 'localhost', port: 8080 }), [`from ${TRANSIT} at 8080`]);
  });

  test('lead to another port, one by one or in ranges', async () => {
    await publish(['9000:80', '9001-9002:81-82', '9001-9002:81-82/udp']);
    const [at80, at81, at82] = await outside(
      ...[9000, 9001, 9002].map((port) => ({ address: HOST, port })),
    );
    assert.deepEqual(
      [at80, at81, at82],
      [80, 81, 82].map((port) => `from ${OUTSIDE} at ${port}`),
    );
    assert.deepEqual(await here({ address: HOST, port: 9002, protocol: 'udp' }), [
      `from ${HOST} at 82`,
    ]);
    // Neither what is published no more, nor the guest's own number, nor the next.
    const others = [8080, 80, 81, 9003].flatMap((port) => ofBoth(HOST, port));
    assert.deepEqual(await outside(...others), Array<string>(8).fill('refused'));
    assert.deepEqual(await here({ address: HOST, port: 9000, protocol: 'udp' }), ['refused']);
  });

  test('any free port is one that works', async () => {
    const [{ hostPort, guestPort } = { hostPort: 0, guestPort: 0 }] = (await publish(['0:80'])) as {
      hostPort: number;
      guestPort: number;
    }[];
    assert.equal(guestPort, 80);
    assert.deepEqual(await outside({ address: HOST, port: hostPort }), [`from ${OUTSIDE} at 80`]);
  });

  test('on one address of the host’s are on no other', async () => {
    const other = '198.51.100.200';
    await lab.exec(['ip', 'address', 'add', `${other}/32`, 'dev', 'lo'], { check: true });
    const route = ['ip', 'route', 'add', `${other}/32`, 'via', HOST];
    await lab.internetExec(route, { check: true });
    const everywhere = [LOCALHOST, HOST, other].map((address) => ({ address, port: 8080 }));
    for (const [address, fromHere, fromOutside] of [
      [LOCALHOST, [`from ${TRANSIT} at 80`, 'refused', 'refused'], ['refused', 'refused']],
      [HOST, ['refused', `from ${HOST} at 80`, 'refused'], [`from ${OUTSIDE} at 80`, 'refused']],
      [other, ['refused', 'refused', `from ${other} at 80`], ['refused', `from ${OUTSIDE} at 80`]],
    ] as const) {
      await publish([`${address}:8080:80`]);
      assert.deepEqual(await here(...everywhere), fromHere, address);
      assert.deepEqual(await outside(...everywhere.slice(1)), fromOutside, address);
    }
    await lab.internetExec(route.with(2, 'delete'), { check: true });
    await lab.exec(['ip', 'address', 'delete', `${other}/32`, 'dev', 'lo'], { check: true });
  });

  test('nobody reaches a guest by its own address, published or not', async () => {
    await publish([`${LOCALHOST}:8080:80`, '80-81', '80/udp']);
    const direct = [80, 81, 82, 8080].flatMap((port) => ofBoth(GUEST, port));
    const route = ['ip', 'route', 'add', '172.16.1.0/30', 'via', HOST];
    await lab.internetExec(route, { check: true });
    const [there, local] = await Promise.all([outside(...direct), here(...direct)]);
    await lab.internetExec(route.with(2, 'delete'), { check: true });
    assert.deepEqual(there, Array<string>(8).fill('silent'));
    assert.deepEqual(local, Array<string>(8).fill('silent'));
  });

  test('no VM reaches one by the host, not even its own', async () => {
    await publish(['8080:80']);
    await setPolicy({ allowedCidrs: [HOST, '203.0.113.0/24'] }, 2);
    const addresses = [HOST, TRANSIT, '10.200.0.1', '172.16.1.1'];
    const questions = addresses.map((address) => ({ address, port: 8080 }));
    for (const slot of [1, 2]) {
      assert.deepEqual(await inside(slot, ...questions), Array<string>(4).fill('refused'));
    }
    assert.deepEqual(await inside(2, { address: GUEST, port: 80 }), ['refused']);
  });

  test('the gate reaches none', async () => {
    const gate = ['setpriv', '--reuid=1900000000', '--clear-groups'];
    const questions = [LOCALHOST, HOST].map((address) => ({ address, port: 8080 }));
    // On stdin: its user may not read the tree.
    const stdin = readFileSync(ASK, 'utf8');
    const argv = [process.execPath, '--input-type=module-typescript', '-'];
    const asked = [...gate, ...argv, JSON.stringify(questions)];
    const { stdout } = await lab.exec(asked, { stdin, check: true });
    for (const said of JSON.parse(stdout) as string[]) assert.doesNotMatch(said, /from/);
  });

  test('open nothing to the guest: from a published port it can only answer', async () => {
    await publish(['8080', '8080/udp'], 'deny-all');
    assert.deepEqual(await outside(...ofBoth(HOST, 8080)), [
      ...Array<string>(2).fill(`from ${OUTSIDE} at 8080`),
    ]);
    killGroup(server);
    const mark = await lab.mark();
    const questions = [world.website.address, OUTSIDE].flatMap((address): Question[] =>
      [world.ports.http, world.ports.echo].flatMap((port) => [
        { address, port, from: 8080, protocol: 'tcp' },
        { address, port, from: 8080, protocol: 'udp' },
      ]),
    );
    for (const question of questions) {
      assert.deepEqual(await inside(1, question), ['refused'], JSON.stringify(question));
    }
    assert.equal(await ping(networks, 1, OUTSIDE), 'refused');
    assert.deepEqual(await lab.arrivals(mark), []);
    const argv = [process.execPath, `${TREE}/test/kernel/wired/serve.ts`];
    server = networks.spawn(1, [...argv, '80', '81', '82', '8080']);
    await firstLine(server, 'the server in the guest');
  });

  test('a change of policy does not touch their flows; one that is unpublished ends', async () => {
    await publish(['8080', '8081:80']);
    using far = await talk(lab.internet.spawn(talking(HOST, 8080)), HOST);
    using near = await talk(lab.spawn(talking(LOCALHOST, 8080)), LOCALHOST);
    using other = await talk(lab.internet.spawn(talking(HOST, 8081)), HOST);
    for (const policy of [
      'allow-all',
      { deniedCidrs: ['0.0.0.0/0'] },
      { allowedDomains: ['www.example.org'] },
      'deny-all',
    ]) {
      await setPolicy(policy);
      for (const flow of [far, near, other]) await flow.say(JSON.stringify(policy));
    }
    await publish(['8081:80']);
    await far.expectEnd();
    await near.expectEnd();
    await other.say('still here');
    assert.deepEqual(await outside({ address: HOST, port: 8080 }), ['refused']);
  });

  test('one that goes to another VM is found there, even from the same port', async () => {
    const question: Question = { address: HOST, port: 8080, protocol: 'udp', from: 4000 };
    await publish(['8080:80/udp']);
    assert.deepEqual(await outside(question), [`from ${OUTSIDE} at 80`]);
    await publish([]);
    const argv = [process.execPath, `${TREE}/test/kernel/wired/serve.ts`, '7'];
    const second = networks.spawn(2, argv);
    try {
      await firstLine(second, 'the server in the other guest');
      await publish(['8080:7/udp'], 'deny-all', 2);
      assert.deepEqual(await outside(question), [`from ${OUTSIDE} at 7`]);
    } finally {
      killGroup(second);
      await publish([], 'allow-all', 2);
    }
  });

  test('are nobody else’s: neither when they are published, nor later', async () => {
    await using listener = await lab.listenOnHost(8090);
    assert.ok(listener);
    await assert.rejects(publish(['8091', '8090']), /port 8090\/tcp is in use/);
    await assert.rejects(publish(['8090/udp']), /port 8090\/udp is in use/);
    // None of a request that fails is taken.
    await (await lab.listenOnHost(8091)).stop();
    await assert.rejects(publish(['192.0.2.99:80:80']), /192\.0\.2\.99 is not an address of this/);
    await assert.rejects(publish(['1009']), /port 1009 is vmsan's own/);
    await assert.rejects(publish(['10.200.0.1:80:80']), /10\.200\.0\.0\/16, which is vmsan's own/);
    await publish(['8092']);
    await assert.rejects(publish(['8092:80'], 'allow-all', 2), /port 8092\/tcp is in use/);
    await assert.rejects(lab.listenOnHost(8092), /EADDRINUSE/);
    await publish([]);
    await (await lab.listenOnHost(8092)).stop();
  });

  test('what a guest’s link does not take goes nowhere else', async () => {
    await publish(['8080']);
    await lab.exec(['ip', 'link', 'delete', 'vm-00000001'], { check: true });
    const mark = await lab.mark();
    await Promise.all([here(...ofBoth(LOCALHOST, 8080)), outside(...ofBoth(HOST, 8080))]);
    assert.equal(await lab.packetsTo(GUEST, { since: mark }), 0);
    await networks.do({ do: 'remove', slot: 1 });
    assert.equal((await fetch(networks, 2, `http://${world.website.address}/`)).exitCode, 0);
  });
});
