import assert from 'node:assert/strict';
import { normalName, parseDomain, writtenName } from '../../src/policy/domain.ts';
import { domainMatcher } from '../../src/policy/domain-matcher.ts';
import { PolicyError } from '../../src/policy/error.ts';
import { readServerName } from '../../src/proxy/server-name.ts';
import { words, type Target } from './target.ts';

/** Domain patterns and names: one canonical text, and a rule means its names and no others. */
export const domain: Target = {
  name: 'domain',
  words: words(
    ...[
      '*.',
      '*',
      '.',
      '..',
      '-',
      '_',
      ':',
      ':443',
      ':80',
      ':5432-5440',
      ':*',
      '/udp',
      '/tcp',
      ',',
    ],
    ...['example.com', 'com', 'co.uk', 'xn--', 'xn--bcher-kva', '[::1]', '192.0.2.1', '0x7f', '\0'],
    ...['\xc3\xbc', '\xe2\x84\xaa', '\xe3\x80\x82', '\xef\xbc\x8e', '%2e', '\xe2\x80\x8b', '65535'],
  ),
  check: (input) => {
    const text = input.toString('utf8');
    const bytes = input.toString('latin1');
    for (const name of [normalName(text), normalName(bytes), writtenName(text)]) {
      if (name === null) continue;
      assert.match(name, /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/);
      assert.equal(normalName(name), name);
    }
    const server = readServerName(bytes);
    if ('name' in server) assert.equal(normalName(bytes), server.name);
    let rule: ReturnType<typeof parseDomain>;
    try {
      rule = parseDomain(text);
    } catch (error) {
      assert.ok(error instanceof PolicyError, String(error));
      assert.match(error.message, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u);
      return error.message.replace(/".*"|\d+/gs, '…').slice(0, 60);
    }
    assert.deepEqual(parseDomain(rule.text), rule);
    const matcher = domainMatcher([rule.text]);
    const isMeant = (name: string) => matcher.names(name).length > 0;
    assert.equal(isMeant(rule.name), !rule.wildcard);
    assert.equal(isMeant(`a.${rule.name}`), rule.wildcard);
    assert.equal(isMeant(`a.b.${rule.name}`), rule.wildcard);
    assert.equal(isMeant(`a${rule.name}`), false);
    assert.equal(isMeant(`${rule.name}.example.net`), false);
    return `rule ${rule.wildcard} ${rule.ports.length} ${rule.ports[0]?.protocol}`;
  },
};
