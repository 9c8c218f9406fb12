import type { VmNetwork } from './plan.ts';

/**
 * What a VM sends and gets, beside its caps: in the table that no change of
 * policy touches. It comes last: what it counts has passed the policy and the
 * caps. To be loaded after `renderVmCaps`, which empties the chains.
 */
export function renderVmCounters(vm: VmNetwork): string {
  // There the gate is on the same host, and all is judged before routing.
  const bare = vm.netnsPath === undefined;
  const withHost = `
  chain passed_in {
    type filter hook input priority filter + 30; policy accept;
    iifname "${vm.tap}" counter name "out"
  }
  chain passed_out {
    type filter hook output priority filter + 30; policy accept;
    oifname "${vm.tap}" counter name "in"
  }`;
  return `
table inet ${vm.capsTable} {
  counter out { }
  counter in { }
  counter stray { }

  chain passed {
    type filter hook forward priority filter + 30; policy accept;
    iifname "${vm.tap}" counter name "out"
    oifname "${vm.tap}" counter name "in"
  }${bare ? withHost : ''}
  # Of no flow that began here: the policy drops it.
  chain arriving {
    type filter hook ${bare ? 'prerouting priority mangle - 20' : 'forward priority filter - 10'}; policy accept;
    iifname "${vm.tap}" ct state invalid counter name "stray"
  }
}
`;
}
