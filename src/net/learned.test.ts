import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learnedOf, renderLearnedChange, type Learned } from './learned.ts';

const ADDRESS = '198.51.100.10';
const tcp = (first: number, last = first) => ({ protocol: 'tcp', first, last }) as const;
const shown = (learned: readonly Learned[]) =>
  learned.map(
    ({ protocol, first, last, milliseconds }) => `${protocol} ${first}-${last} ${milliseconds}`,
  );

test('one name holds its ports for its time', () => {
  const ports = [tcp(22), { protocol: 'udp', first: 123, last: 123 } as const];
  const held = learnedOf(ADDRESS, [{ ports, milliseconds: 30_000 }]);
  assert.deepEqual(shown(held), ['tcp 22-22 30000', 'udp 123-123 30000']);
});

test('names that share an address: cut at every end, each piece for the longest', () => {
  const held = learnedOf(ADDRESS, [
    { ports: [tcp(1, 100)], milliseconds: 1000 },
    { ports: [tcp(50, 60), tcp(200)], milliseconds: 5000 },
    { ports: [tcp(1, 10)], milliseconds: 0 },
  ]);
  assert.deepEqual(shown(held), [
    'tcp 1-49 1000',
    'tcp 50-60 5000',
    'tcp 61-100 1000',
    'tcp 200-200 5000',
  ]);
});

test('a change is one transaction: what goes may be gone already, what stays gets new time', () => {
  const [old] = learnedOf(ADDRESS, [{ ports: [tcp(5432, 5440)], milliseconds: 1 }]);
  const key = `{ ${ADDRESS} . tcp . 5432-5440 }`;
  assert.equal(
    renderLearnedChange('vmsan', [old!], [{ ...old!, milliseconds: 1500.2 }]),
    `add element inet vmsan learned ${key}\n` +
      `delete element inet vmsan learned ${key}\n` +
      `add element inet vmsan learned { ${ADDRESS} . tcp . 5432-5440 timeout 1501ms }\n`,
  );
  assert.equal(renderLearnedChange('vmsan', [], []), '');
});
