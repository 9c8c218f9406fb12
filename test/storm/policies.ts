import * as world from '../lab/world.ts';

/** Public addresses, one for each VM as far as they go. */
export const TARGETS: readonly string[] = [
  world.shared,
  world.website,
  world.github,
  world.githubApi,
  world.npm,
  world.npmPackages,
].map(({ address }) => address);

/** What no policy of the storm's allows. */
export const FORBIDDEN: readonly string[] = [
  world.lan,
  world.otherResolver,
  world.metadata,
  world.resolver,
].map(({ address }) => address);

/** The one address that the VM of that number may ever reach. */
export function targetOf(index: number): string {
  return TARGETS[index % TARGETS.length]!;
}

/** A policy as flags, and what it lets that VM reach. */
export interface StormPolicy {
  flags: string[];
  open: boolean;
}

/** The policies that the VM of that number goes between: its target, in three ways, or nothing. */
export function policiesOf(index: number): StormPolicy[] {
  const target = targetOf(index);
  const custom = ['--network-policy', 'custom', '--allowed-cidr'];
  return [
    { flags: [...custom, target], open: true },
    { flags: [...custom, `${target},10.0.0.0/8`, '--denied-cidr', '10.20.0.0/16'], open: true },
    { flags: [...custom, '10.99.0.0/16'], open: false },
    { flags: ['--network-policy', 'deny-all'], open: false },
  ];
}
