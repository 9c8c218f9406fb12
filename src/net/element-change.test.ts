import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elementChange } from './element-change.ts';
import { renderHostRuleset, type HostRules } from './host-ruleset.ts';
import { planHost, planVm } from './plan.ts';

const POOLS = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
const [one, two, three] = [1, 2, 3].map((slot) => planVm(POOLS, slot, `vm-0000000${slot}`));

function text(rules: Partial<HostRules>): string {
  return renderHostRuleset(planHost(POOLS), {
    vms: [],
    waiting: [],
    gateUp: true,
    upstreams: [],
    dialable: [],
    opened: [],
    published: [],
    lentLinks: [],
    ...rules,
  });
}

test('the same text is no change', () => {
  assert.equal(elementChange(text({ vms: [one!] }), text({ vms: [one!] })), '');
});

test('a VM that comes, and one that goes, are a few elements', () => {
  const change = elementChange(text({ vms: [one!, two!] }), text({ vms: [two!, three!] }));
  assert.deepEqual(change?.trim().split('\n'), [
    'delete element inet vmsan vm_links { "vm-00000001" }',
    'add element inet vmsan vm_links { "vm-00000003" }',
    'delete element inet vmsan vms { "vm-00000001" . 172.16.1.2 }',
    'add element inet vmsan vms { "vm-00000003" . 172.16.3.2 }',
    'delete element inet vmsan guests { 172.16.1.2 }',
    'add element inet vmsan guests { 172.16.3.2 }',
  ]);
});

test('what is more than elements is no change of elements', () => {
  const before = text({ vms: [one!] });
  assert.equal(elementChange(before, before.replace('policy accept', 'policy drop')), undefined);
  assert.equal(
    elementChange(before, before.replaceAll('table inet vmsan', 'table inet x')),
    undefined,
  );
  assert.equal(elementChange('', before), undefined);
});

test('networks may have been merged: they are loaded whole', () => {
  const dialable = ['10.0.0.0/8'];
  assert.equal(elementChange(text({}), text({ dialable })), undefined);
  const [before, after] = [text({ dialable }), text({ dialable, vms: [one!] })];
  assert.match(elementChange(before, after) ?? '', /^add element inet vmsan vm_links/);
});
