import Table from 'cli-table3';
import { printable } from './text.ts';

/** Columns as `docker ps` prints them: no borders, three spaces between. */
export function table(rows: readonly (readonly string[])[], head?: readonly string[]): string {
  const edges = ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) => [
    side,
    `${side}-mid`,
    `${side}-left`,
    `${side}-right`,
  ]);
  const lines = new Table({
    chars: { ...Object.fromEntries(edges.map((edge) => [edge, ''])), middle: '   ' },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
  });
  if (head !== undefined) lines.push([...head]);
  for (const row of rows) lines.push(row.map(printable));
  return lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
