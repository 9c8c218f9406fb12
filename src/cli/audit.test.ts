import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Program } from './testing/program.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

const attempt = (name: string, verdict: string) => ({
  name,
  verdict,
  expected: 'as it should be',
  detail: 'seen \x1b[2J',
});
const HELD = [attempt('direct address', 'held'), attempt('rebinding', 'not judged')];
const network = { policy: 'deny-all', generation: 3, defaultVerdict: 'deny' };

test('audit: a table and a sum; the guest’s words are escaped', async () => {
  const answer = { id: 'vm-1', name: 'web', network, attempts: HELD };
  await using daemon = await fakeDaemon({ auditVm: () => answer });
  const { stdout, code } = await vmsan.run(['audit', 'web'], daemon);
  const [first, second, sum] = stdout.split('\n');
  assert.equal(first, 'direct address   held         seen \\x1b[2J');
  assert.equal(second, 'rebinding        not judged   seen \\x1b[2J');
  assert.equal(
    sum,
    'web: deny-all (generation 3): 1 held, 0 escaped, 0 open, 0 allowed, 1 not judged',
  );
  assert.equal(code, 0);
  await vmsan.run(['audit', 'web', '--rebinding-name', 'nas.example.com'], daemon);
  assert.partialDeepStrictEqual(daemon.calls.at(-1)?.message, {
    vm: 'web',
    rebindingName: 'nas.example.com',
  });
});

test('audit: one that escaped is exit code 1, in JSON too', async () => {
  const attempts = [...HELD, attempt('metadata', 'escaped')];
  await using daemon = await fakeDaemon({
    auditVm: () => ({ id: 'vm-1', name: 'web', network, attempts }),
  });
  assert.equal((await vmsan.run(['audit', 'web'], daemon)).code, 1);
  const { stdout, code } = await vmsan.run(['audit', 'web', '--json'], daemon);
  assert.equal(code, 1);
  assert.partialDeepStrictEqual(JSON.parse(stdout), { id: 'vm-1', name: 'web', attempts });
});
