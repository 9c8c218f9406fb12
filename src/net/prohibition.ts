import { ipBatch, ipJson } from '../host/ip.ts';
import { Mutex } from '../host/mutex.ts';
import { hex, JUDGED } from './marks.ts';
import { vmOfLink } from './plan.ts';

/**
 * What holds a VM without a netns when nobody judges it: a rule of the host's
 * routing that forbids every packet from its TAP whose mark does not say that
 * the VM's ruleset let it pass. It is made before the TAP and goes after it, so
 * it is what the next daemon finds of a VM.
 *
 *     0: from all iif <id> fwmark 0/0x10000000 blackhole
 *     0: from all lookup local
 *
 * Silently: an error would go to the address that the guest gave for its own,
 * with the guest's bytes in it. It has to stand before the rule for the host's own addresses. The kernel puts
 * a new rule after those of the same number, so that one is made anew behind
 * it; meanwhile a second one does its work.
 */

interface RoutingRule {
  priority: number;
  src?: string;
  iif?: string;
  table?: string;
  action?: string;
  fwmask?: string;
  [selector: string]: unknown;
}

const MASK = hex(JUDGED);
/** One change of the order at a time. */
const turn = new Mutex();

/** Forbids what comes from a link unjudged. Twice is once. */
export function addProhibition(link: string): Promise<void> {
  return turn.run(async () => {
    const rules = await rulesOf();
    const prohibition = rules.findIndex((rule) => linkProhibited(rule) === link);
    const local = rules.findIndex(isFirstLocal);
    if (prohibition !== -1 && (local === -1 || prohibition < local)) return;
    const add = prohibition === -1 ? [`rule add ${selector(link)}`] : [];
    if (local === -1) return await ipBatch(undefined, add);
    await ipBatch(undefined, [
      ...(rules.some(isSpareLocal) ? [] : ['rule add preference 1 lookup local']),
      'rule delete preference 0 lookup local',
      ...add,
      'rule add preference 0 lookup local',
      'rule delete preference 1 lookup local',
    ]);
  });
}

/** Takes the rule of a link away. Already gone is success. */
export function removeProhibition(link: string): Promise<void> {
  return turn.run(async () => {
    if (!(await prohibitedLinks()).includes(link)) return;
    await ipBatch(undefined, [`rule delete ${selector(link)}`]);
  });
}

/** The links of VMs that have such a rule. */
export async function prohibitedLinks(): Promise<string[]> {
  return (await rulesOf()).flatMap((rule) => linkProhibited(rule) ?? []);
}

function rulesOf(): Promise<RoutingRule[]> {
  return ipJson<RoutingRule>(undefined, ['-4', 'rule', 'show']);
}

function selector(link: string): string {
  return `preference 0 iif ${link} fwmark 0/${MASK} blackhole`;
}

function linkProhibited({ priority, iif, action, fwmask }: RoutingRule): string | undefined {
  if (priority !== 0 || iif === undefined || action !== 'blackhole' || fwmask !== MASK) return;
  return vmOfLink(iif) ?? undefined;
}

function isFirstLocal(rule: RoutingRule): boolean {
  return rule.priority === 0 && isLocal(rule);
}

function isSpareLocal(rule: RoutingRule): boolean {
  return rule.priority === 1 && isLocal(rule);
}

/** For the host's own addresses, without a condition. */
function isLocal(rule: RoutingRule): boolean {
  return rule.table === 'local' && rule.src === 'all' && Object.keys(rule).length === 3;
}
