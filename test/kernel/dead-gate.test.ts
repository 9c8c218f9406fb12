import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab, type HostListener } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { fetch, lookUp } from './wired/programs.ts';

const SLOT = 1;
const GATEWAY = '172.16.1.1';
/** Where guests' packets go on the host, and the ports that they were sent to. */
const PORTS = [1009, 1011, 1012, world.ports.dns, world.ports.http, world.ports.https];

describe('without a gate, and with a listener on every address of the host', () => {
  let lab: Lab;
  let networks: WiredNetworks;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(SLOT, { allowedDomains: [world.allowed.name, `${world.npm.name}:5432`] });
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const dig = (server: string, ...options: string[]) =>
    lookUp(networks, SLOT, server, world.allowed.name, options);

  test('a guest reaches nothing, and what listens hears nothing of it', async () => {
    assert.match(await dig(GATEWAY), /198\.51\.100\.10/);
    // The next gate cannot open its log, so there is none.
    await lab.exec(['mv', '/run/gate.log', '/run/gate.log.old'], { check: true });
    await lab.exec(['mkdir', '/run/gate.log'], { check: true });
    await networks.do({ do: 'kill gate', slot: SLOT });
    await until('the gate is gone', async () => !/:1009\b/.test(await sockets()));
    const mark = await lab.mark();
    const listeners: HostListener[] = [];
    try {
      for (const port of PORTS) listeners.push(await lab.listenOnHost(port));
      for (const server of [GATEWAY, world.resolver.address, world.otherResolver.address]) {
        for (const options of [[], ['+tcp']]) {
          assert.doesNotMatch(
            await dig(server, ...options),
            /status:/,
            `${server} ${options.join()}`,
          );
        }
      }
      for (const url of [
        `http://${world.allowed.address}/`,
        `https://${world.allowed.address}/`,
        `http://${GATEWAY}:1009/`,
        'http://10.200.0.1:1009/',
        'http://10.200.0.1:1011/',
        'http://10.200.0.1:1012/',
        `http://${world.host.address}/`,
      ]) {
        const page = await fetch(networks, SLOT, url);
        assert.notEqual(page.exitCode, 0, `${url}: ${page.stdout}`);
      }
      for (const listener of listeners)
        assert.deepEqual(await listener.log(), [], `${listener.port}`);
      assert.deepEqual(await lab.reached(mark), []);
    } finally {
      for (const listener of listeners) await listener.stop();
    }
  });

  const sockets = async () => (await lab.exec(['ss', '-Hlntu'], { check: true })).stdout;
});
