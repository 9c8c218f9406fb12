import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCounters, parseSeen } from './observe.ts';
import { SEEN_MS } from './vm-seen.ts';

const NOW = 1_800_000_000_000;

test('elements of a set are destinations, with the time of the last packet', () => {
  const ports = `table inet vmsan {
	set refused {
		type ipv4_addr . inet_proto . inet_service
		size 512
		flags dynamic,timeout
		counter
		timeout 1h
		elements = { 192.0.2.1 . tcp . 80 counter packets 3 bytes 180 expires 59m59s980ms,
			     198.51.100.7 . udp . 443 counter packets 1 bytes 30 expires 30m }
	}
}
`;
  assert.deepEqual(parseSeen(ports, 'deny', NOW), [
    {
      verdict: 'deny',
      destination: '192.0.2.1',
      protocol: 'tcp',
      port: 80,
      packets: 3,
      bytes: 180,
      atMs: NOW - 20,
    },
    {
      verdict: 'deny',
      destination: '198.51.100.7',
      protocol: 'udp',
      port: 443,
      packets: 1,
      bytes: 30,
      atMs: NOW - SEEN_MS / 2,
    },
  ]);
  const others =
    'elements = { 192.0.2.1 . icmp counter packets 2 bytes 168 expires 1h,\n 10.0.0.1 . 253 counter packets 1 bytes 20 expires 12ms }';
  assert.deepEqual(parseSeen(others, 'allow', NOW), [
    {
      verdict: 'allow',
      destination: '192.0.2.1',
      protocol: 'icmp',
      packets: 2,
      bytes: 168,
      atMs: NOW,
    },
    {
      verdict: 'allow',
      destination: '10.0.0.1',
      protocol: '253',
      packets: 1,
      bytes: 20,
      atMs: NOW - SEEN_MS + 12,
    },
  ]);
  assert.deepEqual(parseSeen('table inet vmsan {\n\tset refused {\n\t}\n}\n', 'deny', NOW), []);
});

test('counters are those of the tables that were asked for', () => {
  const listed = `table netdev vmsan {
	counter foreign_mac {
		packets 1 bytes 60
	}
}
table inet vmsan_caps {
	counter out {
		packets 12 bytes 840
	}
}
table inet other {
	counter out {
		packets 99 bytes 99
	}
}
`;
  assert.deepEqual(
    [...parseCounters(listed, ['vmsan', 'vmsan_caps'])],
    [
      ['foreign_mac', { packets: 1, bytes: 60 }],
      ['out', { packets: 12, bytes: 840 }],
    ],
  );
});
