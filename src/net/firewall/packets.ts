import ipaddr from 'ipaddr.js';
import { overlaps, VM_LINK_PREFIX, type HostNetwork } from '../plan.ts';
import type { Condition, Hook } from './chain.ts';

export type PassName = 'asking' | 'answering' | 'outward' | 'inward' | 'published';

/** Packets of one kind that a VM cannot do without, as a chain of somebody else's sees them. */
export interface Kind {
  name: PassName;
  hook: Hook;
  /** In words, after "refuses": for people. */
  what: string;
  from: 'vm' | 'other' | 'none';
  to: 'vm' | 'other' | 'none';
  /** A CIDR; null: any. */
  source: string | null;
  destination: string | null;
  state: 'new' | 'established' | 'dnat';
}

/** All that a VM needs of the host's chains. */
export function kindsOf(host: HostNetwork): readonly Kind[] {
  const pool = host.pools.subnetPool;
  const gate = `${host.gateIp}/32`;
  return [
    {
      ...{ name: 'asking', hook: 'input', what: 'VMs’ names and proxy' },
      ...{ from: 'vm', to: 'none', source: pool, destination: gate, state: 'new' },
    },
    {
      ...{ name: 'answering', hook: 'output', what: 'answers to VMs' },
      ...{ from: 'none', to: 'vm', source: gate, destination: pool, state: 'established' },
    },
    {
      ...{ name: 'outward', hook: 'forward', what: 'what VMs send' },
      ...{ from: 'vm', to: 'other', source: pool, destination: null, state: 'new' },
    },
    {
      ...{ name: 'inward', hook: 'forward', what: 'replies to VMs' },
      ...{ from: 'other', to: 'vm', source: null, destination: pool, state: 'established' },
    },
    {
      ...{ name: 'published', hook: 'forward', what: 'what comes for VMs’ published ports' },
      ...{ from: 'other', to: 'vm', source: null, destination: pool, state: 'dnat' },
    },
  ];
}

export type Answer = 'yes' | 'no' | 'some';

/** Whether a condition is true of packets of a kind: of all, of none, of some. */
export function holds(condition: Condition, kind: Kind): Answer {
  switch (condition.kind) {
    case 'from link':
      return negate(condition.not, linkIs(kind.from, condition.names));
    case 'to link':
      return negate(condition.not, linkIs(kind.to, condition.names));
    case 'source':
      return negate(condition.not, isWithin(kind.source, condition.networks));
    case 'destination':
      return negate(condition.not, isWithin(kind.destination, condition.networks));
    case 'state':
      return negate(condition.not, stateIs(kind.state, condition.states));
    case 'local destination':
      if (kind.hook === 'input') return negate(condition.not, 'yes');
      return kind.to === 'vm' || kind.hook === 'forward' ? negate(condition.not, 'no') : 'some';
    case 'unmarked':
      return negate(condition.not, 'yes');
    case 'never':
      return 'no';
    case 'other':
      return 'some';
  }
}

function negate(not: boolean, answer: Answer): Answer {
  if (!not || answer === 'some') return answer;
  return answer === 'yes' ? 'no' : 'yes';
}

function linkIs(link: Kind['from'], names: readonly string[]): Answer {
  return anyOf(
    names.map((name): Answer => {
      if (name === '*') return 'yes';
      if (link === 'none' || name === 'lo') return 'no';
      const start = name.replace(/\*$/, '');
      const all = start !== name && VM_LINK_PREFIX.startsWith(start);
      const one = start.startsWith(VM_LINK_PREFIX);
      if (link === 'vm') return all ? 'yes' : one ? 'some' : 'no';
      return one ? 'no' : 'some';
    }),
  );
}

function isWithin(network: string | null, networks: readonly string[]): Answer {
  return anyOf(
    networks.map((text): Answer => {
      const other = text.includes('/') ? text : `${text}/32`;
      if (!ipaddr.IPv4.isValidCIDR(other)) return 'some';
      const length = other.split('/')[1];
      if (length === '0') return 'yes';
      if (network === null) return 'some';
      if (!overlaps(network, other)) return 'no';
      return Number(length) <= Number(network.split('/')[1]) ? 'yes' : 'some';
    }),
  );
}

function stateIs(state: Kind['state'], states: readonly string[]): Answer {
  if (state === 'dnat') return states.includes('dnat') || states.includes('new') ? 'yes' : 'no';
  return states.includes(state) ? 'yes' : 'no';
}

function anyOf(answers: readonly Answer[]): Answer {
  if (answers.includes('yes')) return 'yes';
  return answers.includes('some') ? 'some' : 'no';
}
