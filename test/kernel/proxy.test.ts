import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { clientHello, records } from '../fakes/client-hello.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';

const SLOT = 1;
const { allowed, denied, website, github, shared } = world;
const RULES = [allowed.name, website.name, world.rebind.name];
const OTHER_NAMES = [denied.name, github.name];

describe('HTTP and TLS under domain rules, by what reaches the servers', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(SLOT, { allowedDomains: RULES });
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  /** The guest takes names for whatever it likes: here, for the address in `at`. */
  const argvOf = (at: string, ...args: string[]) => {
    const names = [...RULES, ...OTHER_NAMES];
    const resolved = names.flatMap((name) => [
      '--resolve',
      `${name}:80:${at}`,
      '--resolve',
      `${name}:443:${at}`,
    ]);
    return ['curl', '-sS', '-m', '10', '--cacert', lab.caFile, ...resolved, ...args];
  };
  const curl = (...args: string[]) => networks.exec(SLOT, argvOf(shared.address, ...args));
  const set = async (domains: string[]) =>
    (await networks.do({
      do: 'policy',
      slot: SLOT,
      policy: { allowedDomains: domains },
      generation: ++generation,
    })) as { connectionsClosed: number };
  const reached = async (since: Awaited<ReturnType<Lab['mark']>>) =>
    (await lab.reached(since)).filter(({ server }) => server === 'http' || server === 'https');

  test('two names on one address: one is reached, of the other nothing arrives', async () => {
    for (const scheme of ['http', 'https']) {
      const { exitCode, stdout, stderr } = await curl(`${scheme}://${allowed.name}/hello`);
      assert.equal(exitCode, 0, stderr);
      const { host, client } = JSON.parse(stdout) as { host: string; client: string };
      assert.deepEqual([host, client], [allowed.name, world.host.address]);
    }
    const mark = await lab.mark();
    const http = await curl('-w', '%{http_code}', `http://${denied.name}/secret`);
    assert.match(http.stdout, /vmsan: no rule allows denied\.example\.com\n[^]*403$/);
    const https = await curl(`https://${denied.name}/secret`);
    assert.equal(https.exitCode, 35);
    assert.match(https.stderr, /access denied/);
    assert.deepEqual(await reached(mark), []);
  });

  test('the name is what counts, not the address that the guest dials', async () => {
    const mark = await lab.mark();
    for (const at of [github.address, world.lan.address, '203.0.113.99']) {
      const argv = argvOf(at, `https://${allowed.name}/`, `http://${allowed.name}/`);
      const { exitCode, stderr } = await networks.exec(SLOT, argv);
      assert.equal(exitCode, 0, `${at}: ${stderr}`);
    }
    const addresses = (await reached(mark)).map(({ address }) => address);
    assert.deepEqual(new Set(addresses), new Set([allowed.address]));
  });

  test('no name, an address for a name, a name in the LAN: nothing arrives', async () => {
    const mark = await lab.mark();
    const client = ['openssl', 's_client', '-connect', `${shared.address}:443`, '-noservername'];
    assert.match((await networks.exec(SLOT, client)).stderr, /alert access denied/);
    assert.match((await curl(`https://${shared.address}/`)).stderr, /access denied/);
    assert.match((await curl(`http://${shared.address}/`)).stdout, /address, not a name/);
    assert.match((await curl(`http://${world.rebind.name}/`)).stdout, /private/);
    assert.match((await curl(`https://${world.rebind.name}/`)).stderr, /access denied/);
    assert.deepEqual(await reached(mark), []);
    assert.equal(
      await lab.packetsTo(world.lan.address, { protocol: 'tcp', port: 80, since: mark }),
      0,
    );
  });

  test('a hello in single bytes is one hello; a hidden name is none; a wrong one neither', async () => {
    const speak = async (segments: readonly Buffer[]) => {
      const script = `${TREE}/test/kernel/wired/speak.ts`;
      const hex = JSON.stringify(segments.map((bytes) => bytes.toString('hex')));
      const argv = [process.execPath, script, shared.address, '443', hex];
      return (await networks.exec(SLOT, argv)).stdout;
    };
    const bytewise = (bytes: Buffer) => Array.from(bytes, (byte) => Buffer.from([byte]));
    const refused = '15030300020231';
    const real = readFileSync(`${TREE}/test/fuzz/seeds/client-hello/openssl-tls13`);
    assert.match(await speak(bytewise(real)), /^160303/, 'the server’s hello');
    const mark = await lab.mark();
    const ech = clientHello({ extensions: [[0xfe0d, Buffer.alloc(200, 3)]] });
    assert.equal(await speak([records(ech)]), refused);
    const wrong = records(clientHello({ names: [denied.name] }), 20);
    assert.equal(await speak(bytewise(wrong)), refused);
    assert.deepEqual(await reached(mark), []);
  });

  test('every request of a kept-alive connection is judged', async () => {
    const mark = await lab.mark();
    const url = `http://${allowed.name}`;
    const { stdout } = await curl(
      ...['-w', '%{http_code} %{num_connects}\n', `${url}/1`, '--next', '-sS'],
      ...['-w', '%{http_code} %{num_connects}\n', '-H', `Host: ${denied.name}`, `${url}/2`],
    );
    assert.match(stdout, /200 1\n[^]*no rule allows denied[^]*403 0\n$/, 'on the same connection');
    const requests = (await reached(mark)).filter(({ event }) => event === 'request');
    assert.deepEqual(
      requests.map(({ path }) => path),
      ['/1'],
    );
  });

  test('HTTP/2 without TLS is refused', async () => {
    const mark = await lab.mark();
    const { exitCode } = await curl('--http2-prior-knowledge', `http://${allowed.name}/`);
    assert.notEqual(exitCode, 0);
    const { stdout } = await curl(
      ...['-H', 'Connection: Upgrade, HTTP2-Settings', '-H', 'Upgrade: h2c'],
      ...['-H', 'HTTP2-Settings: AAMAAABkAAQAAP__', `http://${allowed.name}/`],
    );
    assert.match(stdout, /HTTP\/2 without TLS/);
    assert.deepEqual(await reached(mark), []);
  });

  test('many bytes arrive as many', async () => {
    const size = 5_000_000;
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${allowed.name}/bytes/${size}`;
      const { stdout } = await curl('-o', '/dev/null', '-w', '%{size_download}', url);
      assert.equal(stdout, String(size), scheme);
    }
  });

  test('a change keeps what it allows, ends what it forbids and says how many', async () => {
    const drips = [`https://${allowed.name}/drip`, `http://${website.name}/drip`].map((url) =>
      networks.spawn(SLOT, argvOf(shared.address, '-N', '-m', '60', url)),
    );
    const received = [0, 0];
    drips.forEach(({ stdout }, i) =>
      stdout!.on('data', (data: Buffer) => (received[i]! += data.length)),
    );
    const grows = async (i: number, why: string) => {
      const seen = received[i]!;
      await until(`stream ${i} goes on ${why}`, () => received[i]! > seen);
    };
    try {
      await Promise.all([grows(0, 'at first'), grows(1, 'at first')]);
      assert.equal((await set([...RULES, github.name])).connectionsClosed, 0);
      await Promise.all([grows(0, 'after a wider one'), grows(1, 'after a wider one')]);
      const over = new Promise((done) => drips[1]!.once('close', done));
      assert.equal((await set([allowed.name])).connectionsClosed, 1);
      await over;
      await grows(0, 'without the other');
    } finally {
      drips.forEach(killGroup);
      await set(RULES);
    }
  });
});
