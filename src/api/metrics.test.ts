import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderMetrics } from './metrics.ts';
import type { VmUsage } from './usage.ts';

const WEB: VmUsage = {
  id: 'vm-00000001',
  name: 'web',
  running: true,
  cpuSeconds: 1.25,
  memoryBytes: 268_435_456,
  sentBytes: 99_999_999_999,
  sentPackets: 12,
  receivedBytes: 34,
  receivedPackets: 5,
  drops: [{ reason: 'bandwidth-out', packets: 7 }],
};

test('metrics are a line for each number, below what it is', () => {
  const [up, ...rest] = renderMetrics([
    WEB,
    { ...WEB, id: 'vm-00000002', running: false, drops: [] },
  ])
    .split('# HELP ')
    .slice(1);
  assert.equal(
    up,
    `vmsan_vm_up Whether the VM runs.
# TYPE vmsan_vm_up gauge
vmsan_vm_up{id="vm-00000001",name="web"} 1
vmsan_vm_up{id="vm-00000002",name="web"} 0
`,
  );
  const text = rest.join('');
  assert.match(text, /^vmsan_vm_sent_bytes_total\{id="vm-00000001",name="web"\} 99999999999$/m);
  assert.match(text, /^vmsan_vm_cpu_seconds_total\{.*\} 1\.25$/m);
  assert.deepEqual(text.match(/^vmsan_vm_dropped.*\}.*$/gm), [
    'vmsan_vm_dropped_packets_total{id="vm-00000001",name="web",reason="bandwidth-out"} 7',
  ]);
});

test('every line of it has the form of the exposition format', () => {
  const evil = { ...WEB, name: 'a"b\\c\nd' };
  const text = renderMetrics([evil]);
  assert.match(text, /name="a\\"b\\\\c\\nd"/);
  const line = /^(# (HELP|TYPE) \w+ .+|[a-z_]+\{(\w+="([^"\\\n]|\\["\\n])*",?)+\} [\d.e+]+)$/;
  for (const each of text.trimEnd().split('\n')) assert.match(each, line);
  assert.equal(text.endsWith('\n'), true);
});
