import { parse } from 'tldts';
import { parseDomain, quoted, type DomainRule } from './domain.ts';
import { PolicyError } from './error.ts';
import { holdsPort } from './ports.ts';

/** Above it a list is no longer one that somebody reads. */
const MAX_DOMAINS = 1000;

/**
 * Reads lists as flags carry them, with commas between items.
 * @returns the rules by name, each once
 * @throws PolicyError, also for a wildcard over a public suffix
 */
export function parseDomains(texts: readonly string[]): DomainRule[] {
  const items = texts.flatMap((text) => text.split(',')).map((item) => item.trim());
  if (items.length > MAX_DOMAINS) {
    throw new PolicyError(`${items.length} names are more than the ${MAX_DOMAINS} of one list`);
  }
  const rules = new Map<string, DomainRule>();
  for (const item of items) {
    const rule = parseDomain(item);
    refuseWholeSuffix(rule);
    rules.set(rule.text, rule);
  }
  return [...rules.values()].toSorted((a, b) => compare(a.name, b.name) || compare(a.text, b.text));
}

/** What users should know of the rules that they wrote. */
export function domainNotices(rules: readonly DomainRule[]): string[] {
  return rules.flatMap((rule) => {
    const notices: string[] = [];
    const suffix = suffixOf(rule.name);
    if (rule.wildcard && suffix.isPrivate && suffix.publicSuffix === rule.name) {
      notices.push(
        `warning: ${rule.text}: anyone can register a name below ${rule.name}, and so be allowed`,
      );
    }
    if (/:\*/.test(rule.text)) {
      notices.push(
        `warning: ${rule.text}: all ports but 80 and 443 go by address: whatever shares one with it is reachable there`,
      );
    } else if (holdsPort(rule.ports, 'udp', 53) || holdsPort(rule.ports, 'tcp', 53)) {
      notices.push(
        `${rule.text}: port 53 goes to vmsan's resolver under this policy, and to no other server`,
      );
    }
    return notices;
  });
}

/** Below a public suffix everybody has names (https://publicsuffix.org/list/). */
function refuseWholeSuffix({ wildcard, name, text }: DomainRule): void {
  if (!wildcard) return;
  // Unknown to the list, a name without a dot is a suffix all the same.
  const { publicSuffix, isPrivate } = suffixOf(name);
  // Of "city.kawasaki.jp" and others like it the parent is none, but all beside them are.
  const below = suffixOf(`below.${name}`);
  const suffixesBelow = below.isIcann === true && below.publicSuffix === `below.${name}`;
  if ((publicSuffix !== name || isPrivate) && !suffixesBelow) return;
  throw new PolicyError(
    `${quoted(text)} would be every name that ends in .${name}, which is a public suffix`,
    `name what is meant below it: *.example.${name}`,
  );
}

function suffixOf(name: string) {
  return parse(name, {
    allowPrivateDomains: true,
    extractHostname: false,
    validateHostname: false,
  });
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
