import { test } from 'node:test';
import assert from 'node:assert/strict';
import { clientHello, records } from '../../test/fakes/client-hello.ts';
import { withRawServer } from '../../test/fakes/proxy-world.ts';
import { until } from '../../test/lab/until.ts';
import { serveTls } from './tls.ts';

const NAME = 'allowed.example.com';
const ACCESS_DENIED = '15030300020231';

test('the decision is taken again after each wait', async () => {
  await using all = await withRawServer(serveTls);
  const { server, world } = all;
  for (const change of [
    () => world.names.delete(NAME),
    () => (world.vmId = 'vm-00000002'),
    () => (world.vmId = undefined),
  ]) {
    world.names.add(NAME);
    world.vmId = 'vm-00000001';
    const resolving = Promise.withResolvers<{ addresses: string[] }>();
    let isAsked = false;
    world.resolve = () => ((isAsked = true), resolving.promise);
    const client = world.client();
    client.socket.write(records(clientHello()));
    await until('it resolves', () => isAsked);
    change();
    resolving.resolve({ addresses: ['127.0.0.1'] });
    await client.all();
  }
  assert.equal(server.seen.length, 0);
});

test('and after the connect: no byte goes to who is forbidden by then', async () => {
  await using all = await withRawServer(serveTls);
  const { server, world } = all;
  const forbid = [() => world.names.delete(NAME), () => world.deniedAddresses.add('127.0.0.1')];
  for (const change of forbid) {
    world.names.add(NAME);
    // Judged just before the connect, changed just after it has begun.
    world.onJudgedAddress = () => queueMicrotask(change);
    const client = world.client();
    client.socket.write(records(clientHello()));
    assert.equal((await client.all()).toString('hex'), ACCESS_DENIED);
  }
  await until('both were connected', () => server.seen.length === 2);
  for (const one of server.seen) assert.equal((await one.all()).length, 0);
});
