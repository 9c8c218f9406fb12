import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { run } from '../../src/host/run.ts';
import { firstLine } from '../lab/machine.ts';
import { closed, killGroup, runCommand } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { labPaths, TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

describe('the lab', () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
  });
  after(async () => {
    await lab.stop();
  });

  const dig = async (...args: string[]) => {
    const { stdout } = await lab.exec(['dig', '+short', '+time=10', '+tries=1', ...args]);
    return stdout.trim().split('\n');
  };
  const curl = (...args: string[]) => lab.exec(['curl', '-sS', '--max-time', '5', ...args]);

  test('answers DNS from its table', async () => {
    assert.deepEqual(await dig(world.allowed.name), [world.shared.address]);
    assert.deepEqual(await dig(world.denied.name), [world.shared.address]);
    assert.deepEqual(await dig(world.rebind.name), [world.lan.address]);
    assert.deepEqual(await dig('AAAA', world.website.name), [world.website.address6]);
    assert.deepEqual(await dig(`@${world.otherResolver.address}`, world.github.name), [
      world.github.address,
    ]);
    assert.deepEqual(await dig(world.names.chain), [
      `${world.names.chainHop}.`,
      `${world.website.name}.`,
      world.website.address,
    ]);
    assert.deepEqual(await dig('TXT', world.names.text), ['"hello from the lab"']);
    const missing = await lab.exec(['dig', world.names.missing]);
    assert.match(missing.stdout, /status: NXDOMAIN/);
  });

  test('truncates what does not fit in a datagram and answers it over TCP', async () => {
    const mark = await lab.mark();
    const [text] = await dig('+noedns', 'TXT', world.names.big);
    assert.ok(text !== undefined && text.length > 2_000);
    const queries = (await lab.log(mark)).filter(({ event }) => event === 'query');
    assert.deepEqual(
      queries.map(({ protocol, name }) => [protocol, name]),
      [
        ['udp', world.names.big],
        ['tcp', world.names.big],
      ],
    );
  });

  test('does not answer the silent name', async () => {
    const { exitCode } = await lab.exec(['dig', '+time=1', '+tries=1', world.names.silent]);
    assert.equal(exitCode, 9);
  });

  test('serves HTTP under two names of one address, and logs which was asked', async () => {
    const mark = await lab.mark();
    for (const { name } of [world.allowed, world.denied]) {
      const { stdout } = await curl(`http://${name}/hello`);
      assert.deepEqual(JSON.parse(stdout), {
        server: 'http',
        method: 'GET',
        host: name,
        path: '/hello',
        client: world.host.address,
      });
    }
    const requests = (await lab.log(mark)).filter(({ event }) => event === 'request');
    assert.deepEqual(
      requests.map(({ host, address }) => [host, address]),
      [
        [world.allowed.name, world.shared.address],
        [world.denied.name, world.shared.address],
      ],
    );
  });

  test('serves HTTPS with its CA and logs the server name', async () => {
    const mark = await lab.mark();
    const url = `https://${world.allowed.name}/`;
    assert.equal((await curl('--cacert', lab.caFile, url)).exitCode, 0);
    assert.notEqual((await curl(url)).exitCode, 0, 'no other CA vouches for it');
    const hellos = (await lab.log(mark)).filter(({ event }) => event === 'hello');
    assert.deepEqual(
      hellos.map(({ sni, error }) => [sni, error === undefined]),
      [
        [world.allowed.name, true],
        [world.allowed.name, false],
      ],
    );
  });

  test('serves HTTP over IPv6', async () => {
    const { stdout } = await curl('-6', `http://${world.website.name}/`);
    assert.equal((JSON.parse(stdout) as { client: string }).client, world.host.address6);
  });

  test('sends as many bytes as asked, and drips until the client goes', async () => {
    const bytes = await curl(`http://${world.website.address}/bytes/100000`);
    assert.equal(bytes.stdout.length, 100_000);
    const mark = await lab.mark();
    const drip = lab.spawn(['curl', '-sN', `http://${world.website.address}/drip`]);
    let seen = '';
    drip.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await until('a third line came', () => seen.includes('drip 2\n'));
    assert.ok(!(await lab.log(mark)).some(({ event }) => event === 'closed'));
    killGroup(drip);
    await until('the server saw the end', async () =>
      (await lab.log(mark)).some(({ event }) => event === 'closed'),
    );
  });

  test('echoes UDP and TCP, and answers lines', async () => {
    const { website, ports } = world;
    const udp = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (text) => { console.log(String(text)); socket.close(); });
      socket.send('over UDP', ${ports.echo}, '${website.address}');`;
    const echoed = await lab.exec([process.execPath, '-e', udp]);
    assert.equal(echoed.stdout, 'over UDP\n');

    const send = async (stdin: string, port: number) => {
      const argv = ['nc', '-N', '-w', '5', website.address, String(port)];
      return (await lab.exec(argv, { stdin })).stdout;
    };
    assert.equal(await send('over TCP\n', ports.echo), 'over TCP\n');
    assert.equal(await send('good day\n', ports.lines), 'hello from the lab\nyou said: good day\n');
    const said = (await lab.log()).flatMap(({ server, line }) =>
      line === undefined ? [] : [`${server}: ${line}`],
    );
    assert.deepEqual(said, ['echo: over UDP', 'lines: good day']);
  });

  test('lets its host reach what no guest may: only our rules can stop one', async () => {
    for (const address of [...world.neverReachable, world.lan.address, world.carrierNat.address]) {
      const { stdout } = await curl(`http://${address}/`);
      assert.equal((JSON.parse(stdout) as { host: string }).host, address);
    }
  });

  test('counts packets to addresses that nobody owns, and answers that they are unreachable', async () => {
    const nowhere = '198.18.0.1';
    const mark = await lab.mark();
    assert.deepEqual(await lab.arrivals(mark), []);
    const { exitCode } = await curl(`http://${nowhere}:81/`);
    assert.equal(exitCode, 7, 'curl: failed to connect');
    assert.equal(await lab.packetsTo(nowhere, { since: mark }), 1);
    assert.equal(await lab.packetsTo(nowhere, { protocol: 'tcp', port: 81, since: mark }), 1);
    assert.equal(await lab.packetsTo(nowhere, { protocol: 'udp', port: 81, since: mark }), 0);
  });

  test('runs commands with nothing of the outer environment, run dir or settings', async () => {
    process.env.VMSAN_STATE_DIR = '/nowhere';
    try {
      const { stdout } = await lab.exec([
        'sh',
        '-c',
        'env; ls -d /run/vmsan* /etc/vmsan /var/lib/vmsan',
      ]);
      assert.doesNotMatch(stdout, /VMSAN_|vmsan$/m);
    } finally {
      delete process.env.VMSAN_STATE_DIR;
    }
    const given = await lab.exec(['printenv', 'VMSAN_ACCEL'], { env: { VMSAN_ACCEL: 'tcg' } });
    assert.equal(given.stdout, 'tcg\n');
  });

  test('keeps what its host writes to /etc, /var/lib and /run, and its named netns, to itself', async () => {
    const files = ['/etc/lab-test', '/var/lib/lab-test', '/run/lab-test'];
    await lab.exec(['touch', ...files], { check: true });
    await lab.exec(['ip', 'netns', 'add', 'lab-test'], { check: true });
    assert.match((await lab.exec(['ip', 'netns'])).stdout, /^lab-test\b/);
    assert.deepEqual(
      files.filter((file) => existsSync(file)),
      [],
    );
    assert.doesNotMatch((await run(['ip', 'netns'])).stdout, /lab-test/);
    await lab.exec(['ip', 'netns', 'delete', 'lab-test'], { check: true });
  });

  test('gives back exit codes, separate streams, and what stdin was', async () => {
    const script = 'cat; echo oops >&2; exit 7';
    assert.deepEqual(await lab.exec(['sh', '-c', script], { stdin: 'in' }), {
      exitCode: 7,
      stdout: 'in',
      stderr: 'oops\n',
    });
    await assert.rejects(lab.exec(['sh', '-c', script], { check: true }), /exited with 7/);
    const started = performance.now();
    await assert.rejects(lab.exec(['sleep', '60'], { timeoutMs: 50 }), /not done after 50 ms/);
    assert.ok(performance.now() - started < 30_000);
  });

  test('can serve on its host, to be reached from the internet', async () => {
    await using listener = await lab.listenOnHost(8080);
    const { stdout } = await lab.internetExec(['curl', '-s', `http://${world.host.address}:8080/`]);
    assert.equal((JSON.parse(stdout) as { client: string }).client, world.router.address);
    assert.ok((await listener.log()).some(({ event }) => event === 'request'));
  });

  test('notices a way out', async () => {
    await lab.exec('ip link add leak type veth peer name leak2'.split(' '), { check: true });
    await assert.rejects(lab.assertNoWayOut(), /link of unknown kind: leak/);
    await lab.exec(['ip', 'link', 'delete', 'leak'], { check: true });
    await lab.assertNoWayOut();
  });
});

describe('the end of a lab', () => {
  test('leaves nothing, whatever still runs in it', async () => {
    const lab = await Lab.start();
    await lab.exec(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 & ip netns add inner']);
    await lab.exec([
      'sh',
      '-c',
      'nsenter --net=/run/netns/inner setsid sleep 1000 >/dev/null 2>&1 &',
    ]);
    const traces = tracesOf(lab);
    assert.notDeepEqual(traces(), []);
    await lab.stop();
    assert.deepEqual(traces(), []);
    await lab.stop();
  });

  test('leaves nothing when a start fails, at any step', async () => {
    const steps: string[] = [];
    await (await Lab.start({ onStep: (step) => steps.push(step) })).stop();
    assert.ok(steps.length > 0);
    for (const failing of steps) {
      const name = `fails-${process.pid}`;
      const onStep = (step: string) => {
        if (step === failing) throw new Error(`no luck: ${step}`);
      };
      const before = ownChildren();
      await assert.rejects(Lab.start({ name, onStep }), { message: `no luck: ${failing}` });
      assert.ok(!existsSync(labPaths(name).dir));
      await until('its processes are reaped', () => ownChildren().length <= before.length);
    }
  });

  test('comes with the end of the process that started it, however that ends', async () => {
    const script = `
      const { Lab } = await import('${TREE}/test/lab/lab.ts');
      const lab = await Lab.start();
      console.log(lab.name);
      setInterval(() => {}, 1e6);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const name = await firstLine(child, 'a process with a lab');
    const lab = Lab.attach(name);
    assert.ok(lab !== undefined);
    // Its first thread ends before its others, and the lab with that one: it is over when reaped.
    const over = closed(child);
    child.kill('SIGKILL');
    await over;
    await until('its machines are gone', () => !lab.host.alive && !lab.internet.alive);
    assert.equal(Lab.attach(name), undefined);
    assert.ok(!existsSync(labPaths(name).dir), 'the next lab clears what it left');
  });
});

describe('npm run lab', () => {
  const name = `cli-${process.pid}`;
  const cli = async (...args: string[]) => {
    const command = [process.execPath, `${TREE}/test/lab/cli.ts`, ...args];
    const { PATH = '' } = process.env;
    return await runCommand(command, command, { env: { PATH, LAB: name, VMSAN_ACCEL: 'tcg' } });
  };
  after(async () => {
    await Lab.attach(name)?.stop();
  });

  test('makes the lab when it is not there, and keeps it for the next command', async () => {
    assert.equal((await cli('--status')).exitCode, 1);
    const first = await cli('sh', '-c', 'echo kept >/run/note; cat /run/note; env; exit 5');
    assert.equal(first.exitCode, 5);
    assert.match(first.stdout, /^kept$/m);
    assert.doesNotMatch(first.stdout, /VMSAN_/);
    assert.match(first.stderr, /lab: up/);
    const second = await cli('cat', '/run/note');
    assert.deepEqual(second, { exitCode: 0, stdout: 'kept\n', stderr: '' });
    assert.equal((await cli('--status')).exitCode, 0);
  });

  test('starts it anew when part of it was killed', async () => {
    await cli('true');
    const broken = Lab.attach(name);
    process.kill(broken!.internet.pid, 'SIGKILL');
    const { exitCode, stderr } = await cli('curl', '-s', `http://${world.website.address}/`);
    assert.equal(exitCode, 0);
    assert.match(stderr, /part of it was killed/);
  });

  test('ends it with all that runs in it', async () => {
    await cli('sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 </dev/null &');
    const traces = tracesOf(Lab.attach(name)!);
    assert.equal((await cli('--down')).exitCode, 0);
    assert.deepEqual(traces(), []);
    assert.equal((await cli('--down')).exitCode, 0);
  });
});

test('two labs at once know nothing of each other', async () => {
  await using a = await Lab.start();
  await using b = await Lab.start();
  await Promise.all([a.assertNoWayOut(), b.assertNoWayOut()]);
  await a.exec(['curl', '-s', `http://${world.website.address}/`], { check: true });
  assert.ok((await a.log()).length > 0);
  assert.deepEqual(await b.log(), []);
  assert.equal(await b.packetsTo(world.website.address), 0);
});

test('a lab of a name that is taken is refused, and the first is left alone', async () => {
  await using lab = await Lab.start();
  await assert.rejects(Lab.start({ name: lab.name }), /is there already/);
  assert.ok(await lab.works());
});

/** @returns a function that lists what there is of a lab on the machine */
function tracesOf(lab: Lab): () => string[] {
  const kinds = ['net', 'mnt', 'pid'];
  const namespaces = [lab.host.pid, lab.internet.pid].flatMap((pid) =>
    kinds.map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`)),
  );
  return () => {
    const processes = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
    const inside = processes.filter((pid) =>
      kinds.some((kind) => {
        try {
          return namespaces.includes(readlinkSync(`/proc/${pid}/ns/${kind}`));
        } catch {
          return false;
        }
      }),
    );
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    return [
      ...inside.map((pid) => `process ${pid}`),
      ...mounts.filter((line) => line.includes(lab.paths.dir)),
      ...(existsSync(lab.paths.dir) ? [lab.paths.dir] : []),
    ];
  };
}

function ownChildren(): string[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  return children.split(' ').filter((pid) => pid !== '');
}
