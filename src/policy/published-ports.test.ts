import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  isSelected,
  parsePortSelections,
  parsePublishedPorts,
  portText,
  type PublishedPort,
} from './published-ports.ts';

const tcp = (hostPort: number, guestPort = hostPort, address: string | null = null) =>
  ({ protocol: 'tcp', address, hostPort, guestPort }) as const;
const udp = (hostPort: number, guestPort = hostPort) =>
  ({ protocol: 'udp', address: null, hostPort, guestPort }) as const;

const READ: [texts: string[], ports: PublishedPort[]][] = [
  [[], []],
  [['8080,3000'], [tcp(8080), tcp(3000)]],
  [
    ['8080', ' 3000 , 1'],
    [tcp(8080), tcp(3000), tcp(1)],
  ],
  [['8080:80'], [tcp(8080, 80)]],
  [['8080:80/tcp'], [tcp(8080, 80)]],
  [['127.0.0.1:8080:80'], [tcp(8080, 80, '127.0.0.1')]],
  [['0.0.0.0:8080:80'], [tcp(8080, 80)]],
  [['53/udp,53'], [udp(53), tcp(53)]],
  [['5353:53/udp'], [udp(5353, 53)]],
  [['8000-8002'], [tcp(8000), tcp(8001), tcp(8002)]],
  [['8000-8001:80-81/udp'], [udp(8000, 80), udp(8001, 81)]],
  [['65535'], [tcp(65_535)]],
  [['0'], [tcp(0)]],
  [['0:80,0:80'], [tcp(0, 80), tcp(0, 80)]],
  [['127.0.0.1:0:80'], [tcp(0, 80, '127.0.0.1')]],
  [
    ['127.0.0.1:80:80,192.0.2.10:80:80,80/udp'],
    [tcp(80, 80, '127.0.0.1'), tcp(80, 80, '192.0.2.10'), udp(80)],
  ],
];

const REFUSED: [text: string, words: RegExp][] = [
  ['', /"" is no port that can be published/],
  ['8080,', /"" is no port/],
  ['web', /"web" is no port/],
  ['http:80', /is no port/],
  ['-1', /is no port/],
  ['+1', /is no port/],
  ['08080', /is no port/],
  ['80.5', /is no port/],
  ['0x50', /is no port/],
  ['65536', /is no port/],
  ['99999999999', /is no port/],
  ['8080:', /is no port/],
  [':80', /is no port/],
  [':', /is no port/],
  ['8010-8000', /is no port/],
  ['8000-', /is no port/],
  ['0-5', /is no port/],
  ['0-0', /is no port/],
  ['1-65535', /"1-65535" is more than the 1000 ports of one VM/],
  ['1-600,1001-1600', /1200 ports are more than the 1000/],
  ['8000-8002:80', /ranges of different lengths/],
  ['0:80-81', /ranges of different lengths/],
  ['8080:0', /0 for the guest's port/],
  ['0:0', /0 for the guest's port/],
  ['8080/sctp', /neither tcp nor udp/],
  ['8080/', /neither tcp nor udp/],
  ['8080/TCP', /neither tcp nor udp/],
  ['8080/tcp/udp', /is no port/],
  ['8080 80', /is no port/],
  ['127.0.0.1:80', /is no port/],
  ['localhost:80:80', /not an address of the host's/],
  ['300.0.0.1:80:80', /not an address of the host's/],
  ['127.1:80:80', /not an address of the host's/],
  ['0127.0.0.1:80:80', /not an address of the host's/],
  ['0.0.0.1:80:80', /not an address of the host's/],
  ['224.0.0.1:80:80', /not an address of the host's/],
  ['255.255.255.255:80:80', /not an address of the host's/],
  [':80:80', /not an address of the host's/],
  ['1:2:3:4', /is no port/],
  ['[::1]:80:80', /IPv6/],
  ['::1:80:80', /IPv6/],
  ['8080,8080', /port 8080\/tcp is published twice/],
  ['8080:80,8080:81', /published twice/],
  ['8080,127.0.0.1:8080:80', /published twice/],
  ['127.0.0.1:8080:80,127.0.0.1:8080:81', /published twice/],
  ['8000-8010,8010', /port 8010\/tcp is published twice/],
];

describe('published ports', () => {
  for (const [texts, ports] of READ) {
    test(`${JSON.stringify(texts)} is read`, () => {
      assert.deepEqual(parsePublishedPorts(texts), ports);
    });
  }

  for (const [text, words] of REFUSED) {
    test(`${JSON.stringify(text)} is refused in one line`, () => {
      assert.throws(
        () => parsePublishedPorts([text]),
        (error: Error) =>
          error.name === 'PolicyError' &&
          words.test(error.message) &&
          !error.message.includes('\n'),
      );
    });
  }

  test('are said as they are', () => {
    assert.equal(portText(tcp(8080, 80)), '0.0.0.0:8080 -> 80/tcp');
    assert.equal(portText({ ...udp(53), address: '127.0.0.1' }), '127.0.0.1:53 -> 53/udp');
  });
});

describe('which published ports are meant', () => {
  const ports = [tcp(80, 80, '127.0.0.1'), tcp(80, 8080, '192.0.2.10'), tcp(81), udp(80)];
  const meant = (text: string) =>
    parsePortSelections([text]).map((selection) =>
      ports.flatMap((port, index) => (isSelected(port, selection) ? [index] : [])),
    );

  for (const [text, indexes] of [
    ['80', [[0, 1]]],
    ['80/udp', [[3]]],
    ['80-81', [[0, 1], [2]]],
    ['80:8080', [[1]]],
    ['192.0.2.10:80:8080', [[1]]],
    ['192.0.2.10:80:80', [[]]],
    ['0.0.0.0:81:81', [[2]]],
    ['82', [[]]],
  ] as const) {
    test(`by ${text}`, () => assert.deepEqual(meant(text), indexes));
  }

  for (const text of ['0', '0:80', 'web', '']) {
    test(`"${text}" means none`, () => {
      assert.throws(() => parsePortSelections([text]), /is no port that can be published/);
    });
  }
});
