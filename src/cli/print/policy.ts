import { rateText } from '../../policy/bandwidth.ts';
import { portChanges } from './ports.ts';
import type { NetworkJson } from './vm.ts';

/** A policy in one line: `allow-all`, or `custom (default deny, allowed 10.0.0.0/8)`. */
export function policyLine(network: NetworkJson): string {
  const lists = [
    ['allowed', [...network.allowedDomains, ...network.allowedCidrs]],
    ['denied', network.deniedCidrs],
  ] as const;
  const parts = lists.flatMap(([word, list]) =>
    list.length === 0 ? [] : [`${word} ${list.join(' ')}`],
  );
  if (parts.length === 0) return network.policy;
  return `${network.policy} (default ${network.default}, ${parts.join(', ')})`;
}

/** What a change would do, a line for each thing that it would. */
export function differences(before: NetworkJson, after: NetworkJson): string[] {
  const lines = (['policy', 'default'] as const).flatMap((field) =>
    before[field] === after[field] ? [] : [`  ${field}: ${before[field]} -> ${after[field]}`],
  );
  for (const [word, was, is] of [
    ['allowed', before.allowedDomains, after.allowedDomains],
    ['allowed', before.allowedCidrs, after.allowedCidrs],
    ['denied', before.deniedCidrs, after.deniedCidrs],
  ] as const) {
    lines.push(
      ...was.filter((entry) => !is.includes(entry)).map((entry) => `- ${word} ${entry}`),
      ...is.filter((entry) => !was.includes(entry)).map((entry) => `+ ${word} ${entry}`),
    );
  }
  lines.push(...portChanges(before, after));
  lines.push(...limitChanges(before, after).map((line) => `  ${line}`));
  return lines.length === 0 ? ['  nothing would be another'] : lines;
}

/** The limits that differ: `bandwidth out: none -> 50mbit`. */
export function limitChanges(before: NetworkJson, after: NetworkJson): string[] {
  return (['out', 'in'] as const).flatMap((way) => {
    const [was, is] = [before.bandwidth[way], after.bandwidth[way]].map(rateText);
    return was === is ? [] : [`bandwidth ${way}: ${was} -> ${is}`];
  });
}
