/**
 * Other people's filter chains, as far as they matter to packets from and to
 * VMs. Conditions that are not understood are `other`: true of some packets.
 */
export type Condition =
  /** Names, each with or without `*` at its end. */
  | { kind: 'from link' | 'to link'; names: readonly string[]; not: boolean }
  /** CIDRs. */
  | { kind: 'source' | 'destination'; networks: readonly string[]; not: boolean }
  /** Connection tracking's, in lower case; `dnat` is that of iptables. */
  | { kind: 'state'; states: readonly string[]; not: boolean }
  | { kind: 'local destination'; not: boolean }
  /** The packet has no mark. */
  | { kind: 'unmarked'; not: boolean }
  /** Of no IPv4 packet. */
  | { kind: 'never' }
  | { kind: 'other' };

export type Outcome =
  { kind: 'accept' | 'refuse' | 'return' | 'none' } | { kind: 'jump' | 'goto'; chain: string };

export interface Rule {
  conditions: readonly Condition[];
  outcome: Outcome;
  comment: string;
  /** nft's handle; of iptables the place in its chain, from 1. */
  at: number;
}

export interface Chain {
  name: string;
  rules: readonly Rule[];
}

export type Hook = 'input' | 'forward' | 'output';

export interface BaseChain extends Chain {
  hook: Hook;
  policy: 'accept' | 'refuse';
}

/** How a table is read and written: by libnftables, or by one of iptables' two back-ends. */
export type Tool = 'nft' | 'iptables-nft' | 'iptables-legacy';

/** A table with chains that judge what the host receives, sends or forwards. */
export interface FilterTable {
  tool: Tool;
  /** Of nft: `ip` or `inet`. */
  family: string;
  name: string;
  base: readonly BaseChain[];
  /** All of its chains, base chains too, by name. */
  chains: ReadonlyMap<string, Chain>;
}
