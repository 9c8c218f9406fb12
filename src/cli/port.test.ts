import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { VmState } from '../gen/vmsan/v1/vmsan_pb.js';
import { fakeDaemon } from './testing/fake-daemon.ts';
import type { PortJson } from './print/vm.ts';
import { bundledProgram, type Program } from './testing/program.ts';
import { WEB } from './testing/web.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

const port = (hostPort: number, guestPort: number, more: Partial<PortJson> = {}): PortJson => ({
  ...{ protocol: 'tcp', address: '0.0.0.0', hostPort, guestPort, held: true },
  ...more,
});
const PORTS = [
  port(8001, 81),
  port(8000, 80),
  port(8002, 90),
  port(53, 53, { protocol: 'udp', address: '127.0.0.1', held: false }),
];
const NETWORK = { policy: 'deny-all', generation: 2, defaultVerdict: 'deny' };

test('port: lists, neighbours as one, and says what is not held', async () => {
  const web = { ...WEB, network: { ...NETWORK, publishedPorts: PORTS } } as typeof WEB;
  await using daemon = await fakeDaemon({
    getVm: () => ({ vm: web }),
    getUsage: () => ({ vms: [] }),
  });
  const { stdout, stderr, code } = await vmsan.run(['port', 'web'], daemon);
  assert.deepEqual(stdout.split('\n'), [
    '0.0.0.0:8000-8001 -> 80-81/tcp',
    '0.0.0.0:8002 -> 90/tcp',
    '127.0.0.1:53 -> 53/udp',
    '',
  ]);
  assert.equal(stderr, 'web: another program took 127.0.0.1:53 -> 53/udp while no daemon ran\n');
  assert.equal(code, 0);
  const json = await vmsan.run(['port', 'web', '--json'], daemon);
  assert.deepEqual(JSON.parse(json.stdout), PORTS);
  const shown = await vmsan.run(['network', 'web'], daemon);
  assert.match(shown.stdout, /^published +0\.0\.0\.0:8000-8001 -> 80-81\/tcp$/m);
});

test('port: of a VM that does not run none is held, which is nothing to say', async () => {
  const publishedPorts = [port(80, 80, { held: false })];
  const web = {
    ...WEB,
    state: VmState.STOPPED,
    network: { ...NETWORK, publishedPorts },
  } as typeof WEB;
  await using daemon = await fakeDaemon({ getVm: () => ({ vm: web }) });
  const { stdout, stderr } = await vmsan.run(['port', 'web'], daemon);
  assert.equal(stdout, '0.0.0.0:80 -> 80/tcp\n');
  assert.equal(stderr, '');
});

test('network: ports alone are named alone, and the receipt speaks of them', async () => {
  const requests: unknown[] = [];
  await using daemon = await fakeDaemon({
    setNetwork: ({ policy, publishPorts, unpublishPorts }) => {
      requests.push({ policy, publishPorts, unpublishPorts });
      return {
        ...{ id: 'vm-00000001', name: 'web', effectiveMs: 2.5, flowsClosed: 1 },
        before: { ...NETWORK, publishedPorts: [port(8080, 80)] },
        after: { ...NETWORK, generation: 3, publishedPorts: [port(9000, 80)] },
      };
    },
  });
  const change = ['network', 'web', '--publish-port', '9000:80', '--unpublish-port', '8080'];
  assert.equal(
    (await vmsan.run(change, daemon)).stdout,
    'web: - published 0.0.0.0:8080 -> 80/tcp, + published 0.0.0.0:9000 -> 80/tcp ' +
      '(generation 3, in force after 2.5 ms, 1 flow closed)\n',
  );
  const dry = await vmsan.run([...change, '--dry-run'], daemon);
  assert.match(dry.stdout, /^\+ published 0\.0\.0\.0:9000 -> 80\/tcp$/m);
  const asked = { policy: '', publishPorts: ['9000:80'], unpublishPorts: ['8080'] };
  assert.deepEqual(requests, [asked, asked]);
});

test('create: ports go as they were written', async () => {
  const requests: unknown[] = [];
  await using daemon = await fakeDaemon({
    async *createVm({ publishPorts }) {
      requests.push(publishPorts);
      yield { event: { case: 'vm', value: WEB } };
    },
  });
  await vmsan.run(['create', '--publish-port', '8080,3000', '--publish-port', '0:80'], daemon);
  assert.deepEqual(requests, [['8080,3000', '0:80']]);
});
