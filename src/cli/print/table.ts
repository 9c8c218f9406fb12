import { printable } from './text.ts';

/**
 * Columns as `docker ps` prints them: no borders, three spaces between. A
 * dozen lines of our own, because a table library costs `vmsan list` 10 ms.
 */
export function table(rows: readonly (readonly string[])[], head?: readonly string[]): string {
  const lines = [...(head === undefined ? [] : [head]), ...rows].map((row) => row.map(printable));
  const widths: number[] = [];
  for (const line of lines) {
    line.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   '))
    .map((line) => line.trimEnd())
    .join('\n');
}
