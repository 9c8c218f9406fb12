import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLinks } from './link-counters.ts';

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  tap0:   12345      10    0    1    0     0          0         0 99999999999    9876    0    2    0     0       0          0
   up0:1234567890123 1000    0    0    0     0          0         0   54321      50    0    0    0     0       0          0
`;

test('the links of /proc/net/dev, by name', () => {
  const links = parseLinks(DEV);
  assert.deepEqual([...links.keys()], ['lo', 'tap0', 'up0']);
  assert.deepEqual(links.get('tap0'), {
    received: { bytes: 12_345, packets: 10 },
    sent: { bytes: 99_999_999_999, packets: 9876 },
  });
  assert.deepEqual(links.get('up0'), {
    received: { bytes: 1_234_567_890_123, packets: 1000 },
    sent: { bytes: 54_321, packets: 50 },
  });
  assert.equal(parseLinks('').size, 0);
});
