import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { cached, hashOf } from './cache.ts';

describe('cached', () => {
  let cache: string;
  beforeEach(() => (cache = mkdtempSync(join(tmpdir(), 'vmsan-cache-'))));
  afterEach(() => rmSync(cache, { recursive: true }));

  const make = (text: string) => (directory: string) => {
    writeFileSync(join(directory, 'file'), text, { mode: 0o600 });
    return Promise.resolve();
  };

  test('makes an entry once, for all to read', async () => {
    const home = await cached(cache, 'thing', 'abc', make('first'));
    assert.equal(home, join(cache, 'thing-abc'));
    assert.equal(await cached(cache, 'thing', 'abc', make('second')), home);
    assert.equal(readFileSync(join(home, 'file'), 'utf8'), 'first');
    assert.equal(statSync(home).mode & 0o777, 0o755);
    assert.equal(statSync(join(home, 'file')).mode & 0o777, 0o644);
  });

  test('builders at the same time give one whole entry', async () => {
    const both = Promise.withResolvers<void>();
    let waiting = 0;
    const slow = (text: string) => async (directory: string) => {
      waiting += 1;
      if (waiting === 2) both.resolve();
      await both.promise;
      await make(text)(directory);
    };
    const homes = await Promise.all(
      ['one', 'two'].map((text) => cached(cache, 'thing', 'abc', slow(text))),
    );
    assert.equal(homes[0], homes[1]);
    assert.match(readFileSync(join(cache, 'thing-abc/file'), 'utf8'), /^(one|two)$/);
    assert.deepEqual(readdirSync(cache), ['thing-abc']);
  });

  test('a build that fails leaves nothing', async () => {
    const failing = () => Promise.reject(new Error('no network'));
    await assert.rejects(cached(cache, 'thing', 'abc', failing), /no network/);
    assert.deepEqual(readdirSync(cache), []);
  });
});

test('hashOf tells where one part ends and the next begins', () => {
  assert.match(hashOf('a', 'bc'), /^[0-9a-f]{16}$/);
  assert.notEqual(hashOf('a', 'bc'), hashOf('ab', 'c'));
});
