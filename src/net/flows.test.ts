import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFlow } from './flows.ts';

const GUEST = { guestIp: '172.16.1.2', netnsPath: '/run/netns/vmsan-vm-00000001' };
const BARE = { guestIp: '172.16.1.2', netnsPath: undefined };

test('a line of connection tracking is a flow, if it is the guest’s and lives', () => {
  const tcp = (state: string, mark = 1) =>
    `ipv4     2 tcp      6 431999 ${state} src=172.16.1.2 dst=203.0.113.20 sport=40000 dport=80 packets=5 bytes=403 ` +
    `src=203.0.113.20 dst=172.16.1.2 sport=80 dport=40000 packets=4 bytes=912 [ASSURED] mark=${mark} zone=0 use=2`;
  assert.deepEqual(parseFlow(tcp('ESTABLISHED'), GUEST), {
    destination: '203.0.113.20',
    protocol: 'tcp',
    port: 80,
    from: 40_000,
    direct: true,
    packets: 9,
    bytes: 1315,
  });
  assert.equal(parseFlow(tcp('TIME_WAIT'), GUEST), null);
  assert.equal(parseFlow(tcp('ESTABLISHED', 0), GUEST), null);
  assert.equal(parseFlow(tcp('ESTABLISHED'), { ...GUEST, guestIp: '172.16.2.2' }), null);
  assert.equal(parseFlow(tcp('ESTABLISHED', 0xf000_ffff), BARE), null, 'others’ bits');
  assert.equal(parseFlow(tcp('ESTABLISHED', 0x0003_0001), BARE)?.port, 80);
  assert.equal(parseFlow('', GUEST), null);
});

test('what went to the resolver is not direct, and ICMP has no port', () => {
  const query =
    'ipv4     2 udp      17 29 src=172.16.1.2 dst=203.0.113.53 sport=5000 dport=53 ' +
    'src=10.200.0.1 dst=172.16.1.2 sport=1009 dport=5000 mark=3 zone=0 use=2';
  assert.equal(parseFlow(query, GUEST)?.direct, false);
  const echo =
    'ipv4     2 icmp     1 29 src=172.16.1.2 dst=10.20.0.10 type=8 code=0 id=1 ' +
    'src=10.20.0.10 dst=172.16.1.2 type=0 code=0 id=1 mark=3 zone=0 use=2';
  assert.deepEqual(parseFlow(echo, GUEST), {
    destination: '10.20.0.10',
    protocol: 'icmp',
    direct: true,
    packets: 0,
    bytes: 0,
  });
});
