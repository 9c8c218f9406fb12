import { portsOf, selectionsOf } from '../api/values.ts';
import { Failure, messageOf } from '../host/failure.ts';
import { forgetEntered } from '../net/entered-flows.ts';
import { setLoopback } from '../net/vm-links.ts';
import { isSelected, portText, type PublishedPort } from '../policy/published-ports.ts';
import type { VmRecord } from '../store/store.ts';
import { networkOf, type Context } from './context.ts';
import type { Step } from './steps.ts';

/** Ports as a request to change them says it. */
export interface PortsRequest {
  publishPorts?: readonly string[];
  unpublishPorts?: readonly string[];
}

/** What a request makes of a VM's ports. */
export interface PortChange {
  ports: readonly PublishedPort[];
  /** Those that are published no more. */
  gone: readonly PublishedPort[];
}

/** @returns null when the request does not name ports. @throws Failure */
export function changedPorts(vm: VmRecord, request: PortsRequest): PortChange | null {
  const { publishPorts = [], unpublishPorts = [] } = request;
  const asked = portsOf(publishPorts);
  const selections = selectionsOf(unpublishPorts);
  if (asked.length === 0 && selections.length === 0) return null;
  for (const selection of selections) {
    if (vm.ports.some((port) => isSelected(port, selection))) continue;
    throw new Failure('not_found', `${vm.name} does not publish ${selection.text}`, {
      hint: `vmsan port ${vm.name}`,
    });
  }
  const gone = vm.ports.filter((port) => selections.some((one) => isSelected(port, one)));
  const kept = vm.ports.filter((port) => !gone.includes(port));
  const added = asked.filter((port) => !kept.some((one) => isSame(one, port)));
  return {
    // Read once more as a whole: what is added may clash with what is kept.
    ports: portsOf([...kept, ...added].map(wordsOf)),
    gone: gone.filter((port) => !added.some((one) => isSame(one, port))),
  };
}

/** The step that takes what a change publishes, and finds the ports that may be any. */
export function holdPorts(
  context: Context,
  before: VmRecord,
  after: VmRecord,
  gone: readonly PublishedPort[],
): Step {
  const { heldPorts } = context;
  return {
    name: 'hold its ports',
    do: () => {
      after.ports = heldPorts.hold(after.id, after.ports, gone);
    },
    undo: () => {
      heldPorts.release(after.id, 'all');
      if (before.state === 'running') takePortsAgain(context, before);
    },
  };
}

/**
 * The step after which ports that are published no more are anybody's. The
 * kernel enforces the change by then, so nothing of it is undone.
 */
export function letPortsGo(context: Context, vm: VmRecord, gone: readonly PublishedPort[]): Step {
  return {
    name: 'let its ports go',
    do: async () => {
      context.heldPorts.release(vm.id, vm.state === 'running' ? gone : 'all');
      if (vm.state !== 'running') return;
      try {
        await forgetEntered(networkOf(context, vm), gone);
      } catch (error) {
        context.log.warn({ vm: vm.id, error: messageOf(error) }, 'flows cannot be forgotten');
      }
    },
  };
}

/**
 * What the user should be told of ports that were published: those that were
 * found, and what deny-all makes of them.
 * @param wanted some of them perhaps any that is free
 */
export function portNotices(vm: VmRecord, wanted: readonly PublishedPort[]): string[] {
  if (wanted.length === 0) return [];
  const found = vm.ports.filter((port) => !wanted.some((one) => isSame(one, port)));
  return [
    ...found.map((port) => `published: ${portText(port)}`),
    ...(vm.policy.base === 'deny-all'
      ? ['under deny-all the VM answers on its published ports, and begins nothing']
      : []),
  ];
}

/**
 * Takes the ports of a VM that a daemon before this one held. What somebody
 * else has taken meanwhile still leads to the VM; that is said.
 */
export function takePortsAgain(context: Context, vm: VmRecord): void {
  if (vm.ports.length > 0) setLoopback(networkOf(context, vm), true);
  for (const port of vm.ports) {
    try {
      context.heldPorts.hold(vm.id, [port]);
    } catch (error) {
      const detail = `${messageOf(error)}; it leads to the VM all the same: ${portText(port)}`;
      context.log.warn({ vm: vm.id }, detail);
      context.events.add('port', vm, detail);
    }
  }
}

function isSame(a: PublishedPort, b: PublishedPort): boolean {
  return portText(a) === portText(b);
}

/** As `--publish-port` takes it. */
function wordsOf({ protocol, address, hostPort, guestPort }: PublishedPort): string {
  const at = address === null ? '' : `${address}:`;
  // Any port, the same on both sides, has no other form.
  if (guestPort === 0) return `0/${protocol}`;
  return `${at}${hostPort}:${guestPort}/${protocol}`;
}

/** @throws Failure `bad_input` when a VM cannot publish ports */
export function refuseBarePorts(vm: Pick<VmRecord, 'netns' | 'ports'>): void {
  if (vm.netns || vm.ports.length === 0) return;
  throw new Failure('bad_input', 'without a network namespace, a VM cannot publish ports', {
    hint: 'leave out --no-netns, or --publish-port',
  });
}
