import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destinations } from './host-signature.ts';
import { planHost } from './plan.ts';

const host = planHost({ subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' });

test('destinations: of every table, how the trie is split does not count, nor do VMs', () => {
  const trie = (inner: string, more = '') => `Id 200:
  +-- 0.0.0.0/0 0 0 0
     |-- 0.0.0.0
        /0 universe UNICAST
Main:
  +-- 0.0.0.0/0 ${inner}
     |-- 0.0.0.0
        /0 universe UNICAST
${more}     |-- 192.0.2.0
        /24 link UNICAST
`;
  const vms = `     +-- 10.200.0.4/30 2 0 2
        |-- 10.200.0.4
           /31 link UNICAST
           /32 host LOCAL
     |-- 172.16.0.0
        /30 universe UNICAST
`;
  const expected = `Id 200:
|-- 0.0.0.0
/0 universe UNICAST
Main:
|-- 0.0.0.0
/0 universe UNICAST
|-- 192.0.2.0
/24 link UNICAST`;
  assert.equal(destinations(trie('3 0 5'), host), expected);
  assert.equal(destinations(trie('4 1 2', vms), host), expected);
  const other = vms.replace('172.16.0.0', '172.17.0.0');
  assert.notEqual(destinations(trie('3 0 5', other), host), expected);
});
