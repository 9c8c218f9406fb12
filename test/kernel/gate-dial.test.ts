import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { planHost } from '../../src/net/plan.ts';
import type { PolicyWords } from '../../src/policy/policy.ts';
import { Lab } from '../lab/lab.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';

const HOST = planHost({ subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' });
const { http, https, echo } = world.ports;

describe('what the gate may dial, were it taken over', () => {
  let lab: Lab;
  let networks: WiredNetworks;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(1, 'allow-all');
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const setPolicy = (policy: PolicyWords, generation: number) =>
    networks.do({ do: 'policy', slot: 1, policy, generation });

  /** A connection by the gate's user, from its address unless told otherwise. */
  async function dial(address: string, port: number, from: string = HOST.gateIp): Promise<string> {
    const options = { host: address, port, ...(from === '' ? {} : { localAddress: from }) };
    const script = `const socket = require('node:net').connect(${JSON.stringify(options)});
      socket.on('connect', () => { console.log('connected'); process.exit(); });
      socket.on('error', (error) => { console.log(error.code); process.exit(); });`;
    const user = ['setpriv', `--reuid=${HOST.gateUid}`, '--clear-groups', '--'];
    const { stdout } = await lab.exec([...user, process.execPath, '-e', script]);
    return stdout.trim();
  }

  test('the public web, under the host’s address', async () => {
    const mark = await lab.mark();
    assert.equal(await dial(world.website.address, http), 'connected');
    assert.equal(await dial(world.website.address, https), 'connected');
    const contacts = (await lab.log(mark)).filter(({ event }) => event === 'connection');
    const from = contacts.map((contact) => contact.from);
    assert.deepEqual(new Set(from), new Set([world.host.address]));
  });

  test('no other port, and nothing from another address', async () => {
    assert.notEqual(await dial(world.website.address, echo), 'connected');
    assert.notEqual(await dial(world.website.address, https, ''), 'connected');
    assert.notEqual(await dial(world.website.address, https, world.host.address), 'connected');
  });

  test('neither the host, nor its networks, nor what no guest reaches', async () => {
    await using listener = await lab.listenOnHost(http);
    const mark = await lab.mark();
    const closed = [world.lan, world.otherLan, world.carrierNat].map(({ address }) => address);
    const never = [...world.neverReachable, '172.16.1.2', '172.16.1.1', '10.200.0.3'];
    for (const address of [...closed, ...never, world.host.address, '127.0.0.1', HOST.gateIp]) {
      assert.notEqual(await dial(address, http), 'connected', address);
    }
    assert.deepEqual(await listener.log(), []);
    assert.deepEqual(await lab.arrivals(mark), []);
  });

  test('a private network that a policy with names allows, and for as long', async () => {
    const { address } = world.lan;
    await setPolicy({ allowedDomains: ['nas.example.com'], allowedCidrs: ['10.20.0.0/16'] }, 2);
    assert.equal(await dial(address, https), 'connected');
    assert.notEqual(await dial(world.otherLan.address, https), 'connected');
    await setPolicy({ allowedCidrs: ['10.20.0.0/16'] }, 3);
    assert.notEqual(await dial(address, https), 'connected');
    const dangerous = [world.metadata.address, '10.0.0.0/8', world.host.address];
    await setPolicy({ allowedDomains: ['nas.example.com'], allowedCidrs: dangerous }, 4);
    assert.notEqual(await dial(world.metadata.address, http), 'connected');
    assert.notEqual(await dial(world.host.address, http), 'connected');
    assert.notEqual(await dial('10.200.0.3', http), 'connected');
  });
});
