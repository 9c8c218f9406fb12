import type { VmNetwork } from './plan.ts';

/**
 * The marks that our rules set. In a netns of its own a VM has the whole
 * connection mark. The host's namespace is shared with other software: there
 * we have a few bits of each mark, and leave the others as they are.
 */

/** Of a connection mark in the host's namespace: the generation of the policy that accepted the flow. */
const GENERATION_MASK = 0x0fff_0000;
const GENERATION_SHIFT = 16;
const GENERATIONS = GENERATION_MASK >>> GENERATION_SHIFT;

/**
 * Of a packet's mark in the host's namespace, while it is on its way through
 * it: a VM's rules let it pass, and they send it to the gate. Not among the
 * bits above, which others may copy from one mark to the other.
 */
export const JUDGED = 0x1000_0000;
export const TO_GATE = 0x2000_0000;

/** How rules tell that a flow was accepted under a generation, and say so. */
export interface FlowMark {
  is: string;
  set: string;
}

/**
 * @param generation 1 or more: 0 is the mark of a flow nobody has judged
 * @param since the first generation whose flows go on unjudged
 */
export function flowMark(
  vm: Pick<VmNetwork, 'netnsPath'>,
  generation: number,
  since: number,
): FlowMark {
  if (!Number.isInteger(generation) || generation < 1) {
    throw new RangeError(`generation ${generation} is not a positive integer`);
  }
  if (vm.netnsPath !== undefined) {
    return { is: `ct mark ${range(since, generation)}`, set: `ct mark set ${generation}` };
  }
  const [field, first] = [fieldOf(generation), fieldOf(since)];
  // Where the counting began anew in between, flows are judged again.
  const inForce = first <= field ? range(first, field, hex) : hex(field);
  return {
    is: `ct mark & ${hex(GENERATION_MASK)} ${inForce}`,
    set: `ct mark set ct mark & ${hex(~GENERATION_MASK)} | ${hex(field)}`,
  };
}

function fieldOf(generation: number): number {
  return (((generation - 1) % GENERATIONS) + 1) << GENERATION_SHIFT;
}

function range(first: number, last: number, spell: (value: number) => string = String): string {
  return first === last ? spell(last) : `${spell(first)}-${spell(last)}`;
}

/** Whether a connection mark says that some policy of the VM's accepted the flow. */
export function isJudgedFlow(vm: Pick<VmNetwork, 'netnsPath'>, mark: number): boolean {
  return (vm.netnsPath === undefined ? mark & GENERATION_MASK : mark) !== 0;
}

/** Sets bits of a packet's mark. */
export function setBits(bits: number): string {
  return `meta mark set meta mark | ${hex(bits)}`;
}

/** Takes both of our bits from a packet's mark. */
export const CLEAR_BITS = `meta mark set meta mark & ${hex(~(JUDGED | TO_GATE))}`;

/** Matches a packet whose mark has none of these bits, or some. */
export function hasBits(bits: number, some: boolean): string {
  return `meta mark & ${hex(bits)} ${some ? '!=' : '=='} 0`;
}

export function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16).padStart(8, '0')}`;
}
