import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TrafficEntrySchema, WatchTrafficRequest } from '../gen/vmsan/v1/vmsan_pb.js';
import { fakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Program } from './testing/program.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

const AT = 1_700_000_000_000n;
const EVIL: MessageInitShape<typeof TrafficEntrySchema> = {
  firstAtMs: AT,
  lastAtMs: AT + 5000n,
  kind: 'dns',
  what: 'a\x1b[2J\u202eb.example',
  verdict: 'deny',
  rule: '',
  reason: 'no rule allows \x1b]0;x\x07',
  count: 3n,
};
const GOOD: MessageInitShape<typeof TrafficEntrySchema> = {
  firstAtMs: AT,
  lastAtMs: AT + 6000n,
  kind: 'tls',
  what: 'api.example.com',
  verdict: 'allow',
  rule: '*.example.com',
  address: '198.51.100.7',
  port: 443,
  count: 1n,
};

test('traffic: a table, newest last, with the guest’s text escaped', async () => {
  await using daemon = await fakeDaemon({
    async *watchTraffic() {
      yield { entries: [EVIL, GOOD], leftOut: 7n };
    },
  });
  const { stdout, stderr, code } = await vmsan.run(['traffic', 'web'], daemon);
  const [head = '', first = '', second = ''] = stdout.split('\n');
  assert.match(head, /^TIME +KIND +WHAT +VERDICT +RULE +REASON +COUNT$/);
  assert.match(first, /^2023-11-14T22:13:25\.000Z +dns +a\\x1b\[2J\\u202eb\.example +denied +no/);
  assert.match(first, /\\x1b\]0;x\\x07 +3$/);
  assert.match(second, /tls +api\.example\.com +allowed +\*\.example\.com +1$/);
  assert.equal(stderr, 'vmsan: 7 more are not listed: too many at once, or too long ago\n');
  assert.equal(code, 0);
});

test('traffic --json is an array, with --follow a line each; flags reach the daemon', async () => {
  const asked: WatchTrafficRequest[] = [];
  await using daemon = await fakeDaemon({
    async *watchTraffic(request) {
      asked.push(request);
      yield { entries: [EVIL] };
      if (request.follow) yield { entries: [GOOD], leftOut: 2n };
    },
  });
  const array = await vmsan.run(['traffic', 'web', '--json', '--denied', '--since', '5m'], daemon);
  assert.deepEqual(JSON.parse(array.stdout), [
    {
      at: '2023-11-14T22:13:25.000Z',
      firstAt: '2023-11-14T22:13:20.000Z',
      kind: 'dns',
      what: EVIL.what,
      verdict: 'deny',
      rule: null,
      reason: EVIL.reason,
      address: null,
      port: null,
      count: 3,
    },
  ]);
  const { vm, follow, denied, sinceMs } = asked[0]!;
  assert.deepEqual([vm, follow, denied, sinceMs], ['web', false, true, 300_000n]);
  const lines = await vmsan.run(['traffic', 'web', '--json', '--follow'], daemon);
  const entries = lines.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { what: string });
  assert.deepEqual(
    entries.map(({ what }) => what),
    [EVIL.what, GOOD.what],
  );
  assert.match(lines.stderr, /2 more are not listed/);
});

test('traffic --follow ends cleanly by Ctrl-C', async () => {
  await using daemon = await fakeDaemon({
    async *watchTraffic(_request, { signal }) {
      yield { entries: [GOOD] };
      await new Promise((done) => signal.addEventListener('abort', done));
    },
  });
  const child = vmsan.start(['traffic', '--follow', 'web'], daemon);
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
  assert.match(chunk.toString(), /^TIME .*COUNT\n.*api\.example\.com/);
  child.kill('SIGINT');
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`);
  assert.equal(stderr, '');
});

test('traffic --since takes a length of time, and says so of anything else', async () => {
  for (const since of ['5', '0m', '-5m', '5 m', 'soon', '5m5', '']) {
    const { stdout, stderr, code } = await vmsan.run(['traffic', 'web', `--since=${since}`]);
    assert.equal(code, 2, since);
    assert.equal(stdout, '');
    assert.match(stderr, /^vmsan: --since: ".*" is no length of time\nhint: .*30s, 5m, 2h\n$/);
  }
});
