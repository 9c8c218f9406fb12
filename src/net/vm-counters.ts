import type { VmNetwork } from './plan.ts';

/**
 * What a VM sends and gets, beside its caps: in the table that no change of
 * policy touches. It comes last: what it counts has passed the policy and the
 * caps. To be loaded after `renderVmCaps`, which empties the chains.
 */
export function renderVmCounters(vm: VmNetwork): string {
  return `
table inet ${vm.capsTable} {
  counter out { }
  counter in { }
  counter stray { }

  chain passed {
    type filter hook forward priority filter + 30; policy accept;
    iifname "${vm.tap}" counter name "out"
    oifname "${vm.tap}" counter name "in"
  }
  # Of no flow that began here: the policy drops it.
  chain arriving {
    type filter hook forward priority filter - 10; policy accept;
    iifname "${vm.tap}" ct state invalid counter name "stray"
  }
}
`;
}
