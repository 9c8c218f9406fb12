import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PortJson, VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';

const SERVE = `mkdir -p /srv && cd /srv && echo from the guest >index.html
  (setsid python3 -m http.server 80 >/dev/null 2>&1 &) ; (setsid python3 -m http.server 8080 >/dev/null 2>&1 &)`;

describe('published ports of a real VM', () => {
  let lab: Lab;
  let clean: string;
  let free: number;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['daemon', 'start'], { check: true });
    clean = await hostState(lab);
  });
  after(async () => {
    await lab?.stop();
  });

  const serve = () => lab.vmsan(['exec', 'web', 'sh', '-c', SERVE], { check: true });
  const fetch = (url: string) => ['curl', '-sS', '-m', '5', url];
  const here = async (url: string) => (await lab.exec(fetch(url))).stdout;
  const outside = async (url: string) => (await lab.internetExec(fetch(url))).stdout;
  const answers = (url: string) =>
    until(`${url} answers`, async () => (await here(url)) === 'from the guest\n', {
      deadlineMs: 60_000,
    });

  test('create publishes them, says which is free and what deny-all makes of them', async () => {
    const flags = ['--name', 'web', '--memory', '256m', '--network-policy', 'deny-all'];
    const created = await lab.vmsan(['create', ...flags, '--publish-port', '8080,0:80'], {
      check: true,
    });
    free = Number(/published: 0\.0\.0\.0:(\d+) -> 80\/tcp/.exec(created.stderr)?.[1]);
    assert.ok(free > 1024, created.stderr);
    assert.match(created.stderr, /answers on its published ports, and begins nothing/);
    const { stdout } = await lab.vmsan(['port', 'web'], { check: true });
    assert.deepEqual(stdout.trim().split('\n').toSorted(), [
      `0.0.0.0:${free} -> 80/tcp`,
      '0.0.0.0:8080 -> 8080/tcp',
    ]);
    await serve();
    await answers(`http://127.0.0.1:${free}/`);
    await answers('http://localhost:8080/');
    for (const port of [8080, free]) {
      const url = `http://${world.host.address}:${port}/`;
      assert.deepEqual([await here(url), await outside(url)], Array(2).fill('from the guest\n'));
    }
    const [listed] = await lab.vmsanJson<VmJson[]>(['list']);
    assert.deepEqual(listed?.network.publishedPorts[0], {
      ...{ protocol: 'tcp', address: '0.0.0.0', hostPort: 8080, guestPort: 8080, held: true },
    });
  });

  test('by ::1 a client is refused at once', async () => {
    assert.equal((await lab.exec(fetch('http://[::1]:8080/'))).exitCode, 7);
  });

  test('change while it runs, and outlive a change of policy', async () => {
    const change = ['--unpublish-port', '8080', '--publish-port', '127.0.0.1:8080:80,9000:80'];
    const { stdout } = await lab.vmsan(['network', 'web', ...change], { check: true });
    assert.match(stdout, /\+ published 127\.0\.0\.1:8080 -> 80\/tcp/);
    assert.match(stdout, /- published 0\.0\.0\.0:8080 -> 8080\/tcp/);
    assert.equal((await lab.exec(fetch(`http://${world.host.address}:8080/`))).exitCode, 7);
    await lab.vmsan(['network', 'web', '--network-policy', 'allow-all'], { check: true });
    assert.equal(await here('http://127.0.0.1:8080/'), 'from the guest\n');
    assert.equal(await outside(`http://${world.host.address}:9000/`), 'from the guest\n');
  });

  test('outlive the daemon; the next one holds them again, or says who does not', async () => {
    const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    await lab.exec(['kill', '-9', String(pid)], { check: true });
    assert.equal(await here('http://127.0.0.1:8080/'), 'from the guest\n');
    await using listener = await lab.listenOnHost(9000);
    assert.ok(listener);
    const ports = await lab.vmsanJson<PortJson[]>(['port', 'web']);
    assert.deepEqual(
      new Map(ports.map(({ hostPort, held }) => [hostPort, held])),
      new Map([
        [free, true],
        [8080, true],
        [9000, false],
      ]),
    );
    const { stdout, stderr } = await lab.vmsan(['port', 'web']);
    assert.match(stdout, /0\.0\.0\.0:9000 -> 80\/tcp/);
    assert.match(stderr, /web: another program took 0\.0\.0\.0:9000/);
    const events = await lab.vmsan(['events'], { check: true });
    assert.match(events.stdout, /port web \(vm-\w+\) port 9000\/tcp is in use; it leads to the VM/);
    await assert.rejects(lab.listenOnHost(free), /EADDRINUSE/);
  });

  test('stop gives them back, start takes them again or says which one it cannot have', async () => {
    await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
    assert.equal((await lab.exec(fetch('http://127.0.0.1:8080/'))).exitCode, 7);
    const listener = await lab.listenOnHost(8080);
    const inVain = await lab.vmsan(['start', 'web']);
    await listener.stop();
    assert.equal(inVain.exitCode, 1);
    assert.match(inVain.stderr, /port 8080\/tcp of 127\.0\.0\.1 is in use\nhint: /);
    await lab.vmsan(['start', 'web'], { check: true });
    await serve();
    await answers(`http://127.0.0.1:${free}/`);
  });

  test('one that is in use is an error, and so is one that is not published', async () => {
    for (const [flags, code, words] of [
      [['--publish-port', '9000:81'], 2, /port 9000\/tcp is published twice/],
      [['--publish-port', '1011'], 1, /port 1011 is vmsan's own/],
      [['--unpublish-port', '7'], 3, /web does not publish 7/],
    ] as const) {
      const { exitCode, stderr } = await lab.vmsan(['network', 'web', ...flags]);
      assert.equal(exitCode, code, stderr);
      assert.match(stderr, words);
    }
    const { exitCode, stderr } = await lab.vmsan(['create', '--publish-port', '9000']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /port 9000\/tcp is in use/);
    await lab.vmsan(['rm', '--force', 'web'], { check: true });
    assert.equal(await hostState(lab), clean);
    await (await lab.listenOnHost(9000)).stop();
  });
});
