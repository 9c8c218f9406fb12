import { contains } from './cidr.ts';
import { isDohName } from './doh.ts';
import { parseDomain, type DomainRule } from './domain.ts';
import type { Policy } from './policy.ts';

/**
 * Whether `after` allows all that `before` does. In doubt it says no: then
 * flows are judged one by one, which ends those that are no longer allowed.
 */
export function onlyWidens(before: Policy, after: Policy): boolean {
  if (!within(after.denied, before.denied) || !within(before.opened, after.opened)) return false;
  // Under anything but allow-all, port 53 is the resolver's.
  if (before.base === 'allow-all') return after.base === 'allow-all';
  if (after.default === 'allow') return true;
  const rules = after.domains.map(parseDomain);
  return (
    before.default === 'deny' &&
    within(before.allowed, after.allowed) &&
    before.domains.map(parseDomain).every((rule) => rules.some((other) => covers(other, rule)))
  );
}

function within(inner: readonly string[], outer: readonly string[]): boolean {
  return inner.every((cidr) => outer.some((other) => contains(other, cidr)));
}

function covers(wide: DomainRule, rule: DomainRule): boolean {
  const same = wide.name === rule.name && wide.wildcard === rule.wildcard;
  // A wildcard does not stand for a public resolver that was named.
  const below = wide.wildcard && rule.name.endsWith(`.${wide.name}`) && !isDohName(rule.name);
  return (
    (same || below) &&
    rule.ports.every(({ protocol, first, last }) =>
      wide.ports.some(
        (each) => each.protocol === protocol && each.first <= first && last <= each.last,
      ),
    )
  );
}
