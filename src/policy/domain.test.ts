import assert from 'node:assert/strict';
import { test } from 'node:test';
import { domainNotices, parseDomains } from './domain-list.ts';
import { normalName, parseDomain, writtenName } from './domain.ts';
import { PolicyError } from './error.ts';

const WEB = 'tcp 80-80, tcp 443-443';

/** Text → canonical text, name, and ports. */
const GOOD: [text: string, canonical: string, ports: string][] = [
  ['example.com', 'example.com', WEB],
  ['Example.COM.', 'example.com', WEB],
  ['*.GitHub.com', '*.github.com', WEB],
  ['bücher.example', 'xn--bcher-kva.example', WEB],
  ['*.例え.jp:22', '*.xn--r8jz45g.jp:22', 'tcp 22-22'],
  ['a。example。com', 'a.example.com', WEB],
  ['_dmarc.example.com', '_dmarc.example.com', WEB],
  ['localhost', 'localhost', WEB],
  ['github.com:22', 'github.com:22', 'tcp 22-22'],
  ['github.com:22/tcp', 'github.com:22', 'tcp 22-22'],
  ['db.example.com:5432-5440', 'db.example.com:5432-5440', 'tcp 5432-5440'],
  ['db.example.com:7-7', 'db.example.com:7', 'tcp 7-7'],
  ['ntp.example.com:123/udp', 'ntp.example.com:123/udp', 'udp 123-123'],
  ['ns.example.com:53/udp', 'ns.example.com:53/udp', 'udp 53-53'],
  ['example.com:*', 'example.com:*', 'tcp 1-65535, udp 1-65535'],
  ['example.com:*/udp', 'example.com:*/udp', 'udp 1-65535'],
  ['example.com:443', 'example.com:443', 'tcp 443-443'],
  ['example.com:800-900', 'example.com:800-900', 'tcp 800-900'],
];

for (const [text, canonical, ports] of GOOD) {
  test(`${text} is ${canonical}`, () => {
    const rule = parseDomain(text);
    assert.equal(rule.text, canonical);
    assert.equal(rule.wildcard, canonical.startsWith('*.'));
    assert.equal(rule.name, canonical.replace(/^\*\./, '').replace(/:.*/, ''));
    const said = rule.ports.map(({ protocol, first, last }) => `${protocol} ${first}-${last}`);
    assert.equal(said.join(', '), ports);
    assert.deepEqual(parseDomain(rule.text), rule);
  });
}

const LONG_LABEL = 'a'.repeat(64);
const LONG_NAME = Array(64).fill('abc').join('.');

const BAD: [text: string, why: RegExp][] = [
  ['', /an entry is empty/],
  ['*', /"\*" as more than the first label/],
  ['*:22', /"\*" as more than the first label/],
  ['*.', /empty label/],
  ['.', /empty label/],
  ['**.example.com', /as more than/],
  ['*.*.example.com', /as more than/],
  ['a.*.example.com', /as more than/],
  ['a*.example.com', /as more than/],
  ['example.*', /as more than/],
  ['＊.example.com', /no name may have/],
  ['8080', /"8080" is a port without a name/],
  ['5432-5440', /is a port without a name/],
  ['53/udp', /is a port without a name/],
  ['192.0.2.1', /is an address/],
  ['192.0.2.1:80', /is an address/],
  ['192.0.2.0/24', /is an address/],
  ['*.192.0.2.1', /is an address/],
  ['１９２.0.2.1', /is an address/],
  ['0x7f.1', /is an address/],
  ['127.1', /is an address/],
  ['2130706433.', /is an address/],
  ['example.0x', /is an address/],
  ['::1', /is an address/],
  ['[2001:db8::1]', /is an address/],
  ['https://example.com', /is a URL/],
  ['example.com/path', /is not a name/],
  ['user@example.com', /is not a name/],
  ['exam%70le.com', /is not a name/],
  ['exam%70lé.com', /is not a name/],
  ['example.com\0.evil.test', /control character/],
  ['example.com\n', /control character/],
  ['exam ple.com', /space/],
  ['exam\u00a0ple.com', /space/],
  ['example..com', /empty label/],
  ['.example.com', /empty label/],
  ['example.com..', /empty label/],
  ['ab\u200d.é', /not a valid international name/],
  [`${LONG_LABEL}.com`, /too long/],
  [LONG_NAME, /too long/],
  ['x'.repeat(3000), /too long/],
  ['-a.example.com', /no name may have/],
  ['a-.example.com', /no name may have/],
  ['example.com:', /no valid port/],
  ['example.com:0', /no valid port/],
  ['example.com:080', /no valid port/],
  ['example.com:65536', /no valid port/],
  ['example.com:99999', /no valid port/],
  ['example.com:9-8', /no valid port/],
  ['example.com:22:23', /no valid port/],
  ['example.com:22/sctp', /no valid port/],
  ['example.com:http', /no valid port/],
  ['example.com:443/udp', /QUIC is rejected/],
  ['example.com:853', /DNS over TLS is rejected/],
  ['example.com:853/udp', /DNS over QUIC is rejected/],
];

for (const [text, why] of BAD) {
  test(`${JSON.stringify(text.slice(0, 60))} is refused: ${why.source}`, () => {
    assert.throws(
      () => parseDomain(text),
      (error) =>
        error instanceof PolicyError && why.test(error.message) && !/[\0-\x1f]/.test(error.message),
    );
  });
}

test('a wildcard over a public suffix is refused, over a private one a warning', () => {
  const suffixes = [
    '*.com',
    '*.co.uk',
    '*.ck',
    '*.kawasaki.jp',
    '*.internal',
    '*.xn--p1ai',
    '*.рф',
  ];
  for (const text of suffixes) {
    assert.throws(
      () => parseDomains([text]),
      (error) => error instanceof PolicyError && /is a public suffix/.test(error.message),
      text,
    );
  }
  const notices = domainNotices(
    parseDomains(['*.github.io,github.io,*.me.github.io,*.example.com']),
  );
  assert.equal(notices.length, 1);
  assert.match(notices[0] ?? '', /^warning: \*\.github\.io: anyone can register/);
});

test('lists take commas and may repeat; each rule is there once, by name', () => {
  const rules = parseDomains(['npmjs.org, *.github.com', 'github.com:22,NPMJS.org.']);
  assert.deepEqual(
    rules.map(({ text }) => text),
    ['*.github.com', 'github.com:22', 'npmjs.org'],
  );
  assert.throws(() => parseDomains(['a.example,']), /an entry is empty/);
  assert.throws(() => parseDomains(['github.com:22,80']), /"80" is a port without a name/);
  assert.throws(() => parseDomains([Array(1001).fill('a.example').join(',')]), /1001 names/);
});

test('other ports by address, and port 53, are said', () => {
  const notices = domainNotices(parseDomains(['a.example:*', 'b.example:53/udp', 'c.example:22']));
  assert.equal(notices.length, 2);
  assert.match(notices[0] ?? '', /^warning: a\.example:\*: all ports but 80 and 443 go by address/);
  assert.match(notices[1] ?? '', /^b\.example:53\/udp: port 53 goes to vmsan's resolver/);
});

const NAMES: [text: string, name: string | null][] = [
  ['Example.COM.', 'example.com'],
  ['a_b-.example.com', 'a_b-.example.com'],
  ['', null],
  ['.', null],
  ['example.com..', null],
  ['example.com\0.evil.test', null],
  ['*.example.com', null],
  ['bücher.example', null],
  ['192.0.2.1', null],
  ['example.com:443', null],
  ['\u212aelvin.example', null],
  [LONG_NAME, null],
  [`${LONG_LABEL}.com`, null],
];
for (const [text, name] of NAMES) {
  test(`from the wire, ${JSON.stringify(text.slice(0, 40))} is ${name ?? 'no name'}`, () => {
    assert.equal(normalName(text), name);
  });
}

test('a name as people write it may be in another script', () => {
  assert.equal(writtenName('Bücher.example.'), 'xn--bcher-kva.example');
  assert.equal(writtenName('bücher%2eexample'), null);
  assert.equal(writtenName('１９２.0.2.1'), null);
  assert.equal(writtenName('bücher.example/x'), null);
});
