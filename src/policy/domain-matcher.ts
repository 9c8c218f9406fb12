import { parseDomain, type DomainRule } from './domain.ts';
import { byAddress, holdsPort, type PortRange } from './ports.ts';

/** The one answer to "which rule names this?", for the resolver, the proxy and `decide`. */
export interface DomainMatcher {
  /** The rules that name it, whatever their ports; an exact one first. */
  names(name: string): readonly DomainRule[];
  /** Whether any rule has this port. */
  covers(protocol: PortRange['protocol'], port: number): boolean;
  /** The rule that allows it. */
  match(name: string, protocol: PortRange['protocol'], port: number): DomainRule | undefined;
  /** The ports of its rules that go by address: neither the proxy's nor the resolver's. Names under one rule share one list. */
  leased(name: string): readonly PortRange[];
}

const NO_PORTS: readonly PortRange[] = [];

/**
 * @param texts canonical, as a policy has them
 * @returns a matcher of names as `normalName` gives them
 */
export function domainMatcher(texts: readonly string[]): DomainMatcher {
  const rules = texts.map(parseDomain);
  const exact = Map.groupBy(
    rules.filter(({ wildcard }) => !wildcard),
    ({ name }) => name,
  );
  const below = Map.groupBy(
    rules.filter(({ wildcard }) => wildcard),
    ({ name }) => name,
  );
  const ports = rules.flatMap((rule) => rule.ports);
  const leasedBy = new Map(rules.map((rule) => [rule, byAddress(rule.ports)]));

  function names(name: string): readonly DomainRule[] {
    const found = [...(exact.get(name) ?? [])];
    if (below.size === 0) return found;
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      found.push(...(below.get(name.slice(dot + 1)) ?? []));
    }
    return found;
  }

  return {
    names,
    covers: (protocol, port) => holdsPort(ports, protocol, port),
    match: (name, protocol, port) =>
      names(name).find((rule) => holdsPort(rule.ports, protocol, port)),
    leased: (name) => {
      const [rule, ...others] = names(name);
      if (rule === undefined) return NO_PORTS;
      if (others.length === 0) return leasedBy.get(rule)!;
      return byAddress([rule, ...others].flatMap((each) => each.ports));
    },
  };
}
