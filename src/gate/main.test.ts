import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Code, ConnectError, createClient, type Client } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import dnsPacket from 'dns-packet';
import { GateService, type LeaseBatch } from '../gen/vmsan/v1/gate_pb.js';
import { bindUdp, closeFd, listenTcp, listenUnix } from '../host/ffi.ts';
import { FakeUpstream, a, answerTo, framed } from '../../test/fakes/upstream.ts';

const LOOPBACK = [127, 0, 0, 1];
const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

const dir = mkdtempSync(join(tmpdir(), 'vmsan-gate-'));
let gate: ChildProcess;
let client: Client<typeof GateService>;
let upstream: FakeUpstream;
/** Where it listens, as its own log says. */
let address: { udp: number; tcp: number };

before(async () => {
  upstream = await FakeUpstream.start((query) => [
    query.transport === 'udp' ? answerTo(query, [a('www.example', '192.0.2.80')]) : Buffer.alloc(0),
  ]);
  const socketPath = join(dir, 'gate.sock');
  const sockets = [
    bindUdp(LOOPBACK, 0),
    listenTcp(LOOPBACK, 0),
    listenUnix(socketPath),
    listenTcp(LOOPBACK, 0),
    listenTcp(LOOPBACK, 0),
  ];
  const log = openSync(join(dir, 'gate.log'), 'a', 0o600);
  gate = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'ignore', log, ...sockets, 'pipe'],
    env: { VMSAN_BUILD: 'test-build' },
    detached: true,
  });
  closeSync(log);
  for (const fd of sockets) closeFd(fd);
  const ready = (gate.stdio as unknown[])[8] as Readable;
  let said = '';
  for await (const chunk of ready) said += String(chunk);
  assert.equal(said, 'ready\n', readFileSync(join(dir, 'gate.log'), 'utf8'));
  address = listeners();
  client = createClient(
    GateService,
    createConnectTransport({
      httpVersion: '1.1',
      baseUrl: 'http://gate',
      nodeOptions: { socketPath },
    }),
  );
});

after(async () => {
  if (gate.exitCode === null && gate.signalCode === null) {
    gate.kill('SIGKILL');
    await once(gate, 'exit');
  }
  await upstream[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

function listeners(): { udp: number; tcp: number } {
  const line = readFileSync(join(dir, 'gate.log'), 'utf8').split('\n').at(-2) ?? '';
  const { udp, tcp } = JSON.parse(line) as { udp: string; tcp: string };
  return { udp: Number(udp.split(':')[1]), tcp: Number(tcp.split(':')[1]) };
}

async function setPolicy(policy: string, more: object = {}): Promise<void> {
  const { upstream: resolver } = upstream;
  const allows = policy === 'allow-all';
  await client.setSnapshot({
    guests: [
      {
        guestIp: '127.0.0.1',
        vmId: 'vm-00000001',
        policy,
        resolves: allows,
        defaultVerdict: allows ? 'allow' : 'deny',
        ...more,
      },
    ],
    upstreams: [`${resolver.address}:${resolver.port}`],
  });
}

const QUERY = dnsPacket.encode({
  type: 'query',
  id: 99,
  flags: dnsPacket.RECURSION_DESIRED,
  questions: [{ type: 'A', name: 'www.example' }],
});

/** Stands for an answer that waits. */
const ACKNOWLEDGED = { rcode: 'WAITS' } as unknown as dnsPacket.DecodedPacket;

async function askUdp(bytes = QUERY): Promise<dnsPacket.DecodedPacket> {
  const socket = createSocket('udp4');
  try {
    socket.send(bytes, address.udp, '127.0.0.1');
    const [reply] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [
      Buffer,
    ];
    return dnsPacket.decode(reply);
  } finally {
    socket.close();
  }
}

async function askTcp(): Promise<dnsPacket.DecodedPacket> {
  const socket = connect(address.tcp, '127.0.0.1');
  try {
    socket.write(framed(QUERY));
    const [reply] = (await once(socket, 'data', { signal: AbortSignal.timeout(5000) })) as [Buffer];
    return dnsPacket.decode(reply.subarray(2));
  } finally {
    socket.destroy();
  }
}

test('it says which process and which build it is', async () => {
  const { pid, build } = await client.getGate({});
  assert.equal(pid, gate.pid);
  assert.equal(build, 'test-build');
});

test('it serves the sockets it was handed, and the policy as it is now', async () => {
  await setPolicy('allow-all');
  assert.deepEqual((await askUdp()).answers?.map(dataOf), ['192.0.2.80']);
  assert.deepEqual((await askTcp()).answers?.map(dataOf), ['192.0.2.80']);
  await setPolicy('deny-all');
  assert.equal(rcodeOf(await askUdp()), 'REFUSED');
  assert.equal(rcodeOf(await askTcp()), 'REFUSED');
  await setPolicy('a policy of a later version');
  assert.equal(rcodeOf(await askUdp()), 'REFUSED');
});

test('nothing a guest sends ends it', async () => {
  await setPolicy('allow-all');
  const socket = createSocket('udp4');
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(QUERY);
    // A walk over the whole message: each byte gets each of some odd values.
    bytes[i % bytes.length] = [0, 0x3f, 0x40, 0x80, 0xc0, 0xff][i % 6] ?? 0;
    const cut = i % 3 === 0 ? bytes.subarray(0, i % bytes.length) : bytes;
    await new Promise((sent) => socket.send(cut, address.udp, '127.0.0.1', sent));
  }
  socket.close();
  const stream = connect(address.tcp, '127.0.0.1');
  stream.write(Buffer.alloc(100_000, 0x5a));
  await once(stream, 'error', { signal: AbortSignal.timeout(5000) });
  assert.equal(rcodeOf(await askTcp()), 'NOERROR');
  assert.equal((await client.getGate({})).pid, gate.pid);
  const log = readFileSync(join(dir, 'gate.log'), 'utf8').split('\n');
  assert.ok(log.length < 10, `${log.length} lines are in the log`);
});

test('a snapshot that cannot be right changes nothing', async () => {
  await setPolicy('allow-all');
  const guest = { guestIp: '127.0.0.1', vmId: 'vm-00000001', policy: 'deny-all' };
  for (const request of [
    { guests: [{ ...guest, guestIp: '127.0.0.01' }] },
    { guests: [guest, { ...guest, vmId: 'vm-00000002' }] },
    { guests: [guest], upstreams: ['resolver.example'] },
    { guests: [guest], upstreams: ['192.0.2.53:70000'] },
    { guests: [{ ...guest, allowedDomains: ['*'] }] },
    { guests: [guest], hostAddresses: ['here'] },
  ]) {
    await assert.rejects(
      client.setSnapshot(request),
      (error) => error instanceof ConnectError && error.code === Code.InvalidArgument,
    );
  }
  assert.equal(rcodeOf(await askUdp()), 'NOERROR');
});

const BY_NAME = { resolves: true, generation: 3, allowedDomains: ['www.example:5432'] };

test('an answer that needs a lease comes once the watcher says that it is in force', async () => {
  await setPolicy('custom', BY_NAME);
  assert.equal(rcodeOf(await askUdp()), 'SERVFAIL', 'nobody watches');
  const gone = new AbortController();
  const batches = client.watchLeases({}, { signal: gone.signal })[Symbol.asyncIterator]();
  const reading = batches.next();
  try {
    let asking = askUdp();
    // Until the watch is there, queries fail.
    while (rcodeOf(await Promise.race([asking, reading.then(() => ACKNOWLEDGED)])) === 'SERVFAIL') {
      asking = askUdp();
    }
    const { value: batch } = (await reading) as { value: LeaseBatch };
    assert.deepEqual(
      batch.leases.map(({ vmId, generation, name, addresses }) => [
        ...[vmId, generation, name, addresses],
      ]),
      [['vm-00000001', 3, 'www.example', ['192.0.2.80']]],
    );
    await client.ackLeases({ id: batch.id });
    assert.deepEqual((await asking).answers?.map(dataOf), ['192.0.2.80']);
  } finally {
    gone.abort();
  }
});

test('without a watcher, names whose ports are the proxy’s are answered', async () => {
  await setPolicy('custom', { ...BY_NAME, allowedDomains: ['www.example'] });
  assert.deepEqual((await askUdp()).answers?.map(dataOf), ['192.0.2.80']);
});

test('decisions are told to whoever watches', async () => {
  await setPolicy('custom', BY_NAME);
  await askUdp(dnsPacket.encode({ type: 'query', questions: [{ type: 'A', name: 'no.example' }] }));
  for await (const { decisions } of client.watchDecisions({}, { timeoutMs: 5000 })) {
    const refusal = decisions.find(({ what }) => what === 'no.example');
    if (refusal === undefined) continue;
    assert.equal(refusal.verdict, 'deny');
    assert.match(refusal.reason, /no rule allows no\.example/);
    break;
  }
});

test('who is no guest gets no TCP connection', async () => {
  await client.setSnapshot({ guests: [], upstreams: [] });
  const socket = connect(address.tcp, '127.0.0.1');
  await assert.rejects(once(socket, 'close', { signal: AbortSignal.timeout(5000) }), {
    code: 'ECONNRESET',
  });
});

test('a hang-up of its session leaves it alone, SIGTERM ends it', async () => {
  gate.kill('SIGHUP');
  await setPolicy('allow-all');
  assert.equal(rcodeOf(await askUdp()), 'NOERROR');
  gate.kill('SIGTERM');
  const [code] = (await once(gate, 'exit', { signal: AbortSignal.timeout(5000) })) as [number];
  assert.equal(code, 0);
});

function dataOf(answer: dnsPacket.Answer): unknown {
  return 'data' in answer ? answer.data : undefined;
}

function rcodeOf(packet: dnsPacket.DecodedPacket): string {
  return (packet as unknown as { rcode: string }).rcode;
}
