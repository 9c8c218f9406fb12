import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isOurTable,
  overlaps,
  planHost,
  planVm,
  slotCount,
  vmOfLink,
  vmOfNetns,
  vmOfTable,
  vmUid,
} from './plan.ts';

const POOLS = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };

test('a slot gives every name and address of a VM', () => {
  assert.deepEqual(planVm(POOLS, 7, 'vm-0badcafe'), {
    slot: 7,
    netns: 'vmsan-vm-0badcafe',
    netnsPath: '/run/netns/vmsan-vm-0badcafe',
    table: 'vmsan',
    capsTable: 'vmsan_caps',
    tap: 'tap0',
    uplink: 'up0',
    hostLink: 'vm-0badcafe',
    guestMac: '02:76:6d:00:00:07',
    gatewayMac: '06:76:6d:00:00:07',
    guestIp: '172.16.7.2',
    gatewayIp: '172.16.7.1',
    subnet: '172.16.7.0/30',
    transitHostIp: '10.200.0.16',
    transitVmIp: '10.200.0.17',
  });
});

test('without a netns the TAP is the link on the host, and the tables have the VM’s name', () => {
  const id = 'vm-0badcafe';
  const { netns, netnsPath, tap, hostLink, table, capsTable } = planVm(POOLS, 7, id, false);
  assert.deepEqual(
    { netns, netnsPath, tap, hostLink },
    { netns: undefined, netnsPath: undefined, tap: id, hostLink: id },
  );
  assert.deepEqual([vmOfTable(table), vmOfTable(capsTable), vmOfLink(tap)], [id, id, id]);
  for (const name of ['vmsan', table, capsTable]) assert.ok(isOurTable(name), name);
  for (const name of ['filter', 'vmsan-lab', 'vmsan2']) assert.ok(!isOurTable(name), name);
  assert.deepEqual([vmOfTable('vmsan'), vmOfLink('vm-bridge')], [null, null]);
});

test('no two slots of a pool share an address, nor does the gate', () => {
  const pools = { subnetPool: '172.16.0.0/12', transitPool: '10.200.0.0/16' };
  const seen = new Set<string>([planHost(pools).gateIp]);
  const count = slotCount(pools);
  for (let slot = 0; slot < count; slot += 1) {
    const vm = planVm(pools, slot, 'vm-00000000');
    for (const address of [vm.guestIp, vm.gatewayIp, vm.transitHostIp, vm.transitVmIp]) {
      assert.ok(!seen.has(address), `${address} of slot ${slot}`);
      seen.add(address);
    }
  }
  assert.equal(seen.size, 1 + 4 * count);
});

test('the smaller pool bounds the number of slots', () => {
  assert.equal(slotCount(POOLS), 256);
  assert.equal(slotCount({ ...POOLS, subnetPool: '172.16.0.0/12' }), 4096);
  assert.equal(slotCount({ ...POOLS, transitPool: '10.200.0.0/24' }), 127);
});

test('every slot has a user id of its own, and none is the gate’s', () => {
  assert.notEqual(vmUid(0), planHost(POOLS).gateUid);
  assert.equal(vmUid(255) - vmUid(0), 255);
});

test('networks overlap when one holds the other', () => {
  assert.equal(overlaps('172.16.3.0/30', '172.16.0.0/12'), true);
  assert.equal(overlaps('172.16.0.0/12', '172.16.3.0/30'), true);
  assert.equal(overlaps('172.16.3.0/30', '172.16.3.4/30'), false);
  assert.equal(overlaps('0.0.0.0/0', '172.16.3.4/30'), true);
});

test('a netns that is not of a VM belongs to nobody', () => {
  assert.equal(vmOfNetns('vmsan-vm-0badcafe'), 'vm-0badcafe');
  assert.equal(vmOfNetns('vmsan-lab'), null);
  assert.equal(vmOfNetns('web'), null);
});
