import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { clientHeaders, identityHeaders, judgeCaller, type Identity } from './handshake.ts';
import { loadSettings, settingsEnv } from './settings.ts';

const own: Identity = {
  build: 'b1',
  netns: '4:100',
  settings: { VMSAN_RUN_DIR: '/run/vmsan', VMSAN_DNS: '192.0.2.53' },
};

function judge(change: Partial<Identity>, options = {}): string {
  const verdict = judgeCaller(own, new Headers(identityHeaders({ ...own, ...change })), options);
  if (verdict === 'ok') return verdict;
  assert.ok(verdict instanceof Failure);
  assert.equal(verdict.code, 'conflict');
  assert.ok(!verdict.message.includes('\n'));
  return verdict.message;
}

test('a caller like the daemon, and one that says nothing, are accepted', () => {
  assert.equal(judge({}), 'ok');
  assert.equal(judgeCaller(own, new Headers()), 'ok');
});

test('another netns is refused in a line that names both', () => {
  assert.match(judge({ netns: '4:200' }), /4:100.*4:200/);
  assert.match(judge({ netns: '4:200' }, { anyBuild: true }), /4:100.*4:200/);
});

test('other settings are refused by the variable that differs, with both values', () => {
  const settings = { ...own.settings, VMSAN_DNS: '203.0.113.1,203.0.113.2' };
  assert.match(judge({ settings }), /VMSAN_DNS="192.0.2.53".*VMSAN_DNS="203.0.113.1,203.0.113.2"/);
});

test('a setting that only one build knows is no difference', () => {
  assert.equal(judge({ settings: { ...own.settings, VMSAN_NEW: 'x' } }), 'ok');
  assert.equal(judge({ settings: { VMSAN_RUN_DIR: '/run/vmsan' } }), 'ok');
});

test('another build is refused, except where it may be any', () => {
  assert.match(judge({ build: 'b2' }), /b1.*b2/);
  assert.equal(judge({ build: 'b2' }, { anyBuild: true }), 'ok');
});

test('what a caller sends is what it is, and its settings survive the journey', () => {
  const settings = loadSettings(
    { VMSAN_RUN_DIR: '/tmp/größe & co', VMSAN_DNS: '192.0.2.1,192.0.2.2' },
    '/nonexistent',
  );
  const headers = new Headers(clientHeaders(settings));
  assert.equal(headers.get('vmsan-build'), 'source');
  assert.match(headers.get('vmsan-netns') ?? '', /^\d+:\d+$/);
  const sent = Object.fromEntries(new URLSearchParams(headers.get('vmsan-settings') ?? ''));
  assert.deepEqual(sent, settingsEnv(settings));
  assert.deepEqual(loadSettings(sent, '/nonexistent'), settings);
});
