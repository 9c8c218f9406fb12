import type { Command } from 'commander';
import type { ResponseOf } from '../../api/calls.ts';
import { withDaemon, type Daemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { usageOf } from '../../api/usage.ts';
import { Failure } from '../../host/failure.ts';
import {
  addBandwidthFlags,
  bandwidthRequest,
  saysBandwidth,
  type BandwidthOptions,
} from '../args/bandwidth.ts';
import { jsonFlag } from '../args/flags.ts';
import { addPolicyFlags, policyRequest, saysPolicy, type PolicyOptions } from '../args/policy.ts';
import {
  addPublishFlag,
  addUnpublishFlag,
  portsRequest,
  saysPorts,
  type PortOptions,
} from '../args/ports.ts';
import { rateText } from '../../policy/bandwidth.ts';
import { differences, limitChanges, policyLine } from '../print/policy.ts';
import { portChanges, portLines } from '../print/ports.ts';
import { countRows } from '../print/usage.ts';
import { table } from '../print/table.ts';
import { printable, remark, say, sayJson } from '../print/text.ts';
import { networkJson, vmJson } from '../print/vm.ts';

interface Options extends PolicyOptions, BandwidthOptions, PortOptions {
  dryRun?: true;
  json?: true;
}

export function define(command: Command): Command {
  command.argument('<vm>', 'an id, a name or a unique prefix');
  addPolicyFlags(command, 'replace the policy by allow-all, deny-all or custom, on the running VM');
  addPublishFlag(command);
  addUnpublishFlag(command);
  addBandwidthFlags(command)
    .option('--dry-run', 'print what a change would do, and do nothing')
    .addOption(jsonFlag('what holds now, or the receipt of a change,'));
  return command
    .addHelpText(
      'after',
      `
Without a flag it shows what holds now. The flags of a policy replace it as a unit;
ports and limits change only when they are named.
A change is in force when its receipt is printed.`,
    )
    .action(network);
}

async function network(vm: string, options: Options): Promise<void> {
  if (!saysPolicy(options) && !saysBandwidth(options) && !saysPorts(options)) {
    if (options.dryRun) {
      throw new Failure('bad_input', '--dry-run needs a change to try', {
        hint: 'add flags of a policy, --publish-port, --unpublish-port or --bandwidth',
      });
    }
    await withDaemon(loadSettings(), (daemon) => show(daemon, vm, options));
    return;
  }
  const dryRun = options.dryRun ?? false;
  const policy = saysPolicy(options) ? policyRequest(options) : {};
  const request = { vm, ...policy, ...bandwidthRequest(options), ...portsRequest(options), dryRun };
  const receipt = await withDaemon(loadSettings(), (daemon) =>
    daemon.call('setNetwork', request, 30_000),
  );
  for (const notice of receipt.notices ?? []) remark(printable(notice));
  print(receipt, options);
}

async function show(daemon: Daemon, name: string, options: Options): Promise<void> {
  const { vm } = await daemon.call('getVm', { vm: name }, 30_000);
  if (vm === undefined) return;
  const { id, name: called, network: now } = vmJson(vm);
  const { vms = [] } = await daemon.call('getUsage', { vm: id }, 30_000);
  const { running, ...counts } = usageOf(vms[0] ?? {});
  const { sentBytes, sentPackets, receivedBytes, receivedPackets, drops } = counts;
  const counted = running
    ? { sentBytes, sentPackets, receivedBytes, receivedPackets, drops }
    : null;
  if (options.json) {
    sayJson({ id, name: called, network: now, counters: counted });
    return;
  }
  const list = (word: string, entries: readonly string[]) =>
    entries.length === 0 ? [] : [[word, entries.join(' ')]];
  say(
    table([
      ['vm', called === id ? id : `${called} (${id})`],
      ['policy', now.policy],
      ['default', now.default],
      ...list('allowed', [...now.allowedDomains, ...now.allowedCidrs]),
      ...list('denied', now.deniedCidrs),
      ...list('opened', now.openedCidrs),
      ['generation', String(now.generation)],
      ...portLines(now.publishedPorts).map((line) => ['published', line]),
      ['bandwidth out', rateText(now.bandwidth.out)],
      ['bandwidth in', rateText(now.bandwidth.in)],
      ...(counted === null ? [] : countRows(counted)),
    ]),
  );
}

function print(receipt: ResponseOf<'setNetwork'>, { json, dryRun }: Options): void {
  const before = networkJson(receipt.before);
  const after = networkJson(receipt.after);
  const { id = '', name = id } = receipt;
  const { flowsClosed = 0, connectionsClosed = 0, leasesDropped = 0 } = receipt;
  const closed = { flowsClosed, connectionsClosed, leasesDropped };
  const effectiveMs = Number(receipt.effectiveMs ?? 0);
  if (json) {
    sayJson({ id, name, before, after, effectiveMs, ...closed, ...(dryRun ? { dryRun } : {}) });
    return;
  }
  const flows = [
    `${counted(flowsClosed + connectionsClosed, 'flow')} closed`,
    ...(leasesDropped === 0 ? [] : [`${counted(leasesDropped, 'lease')} dropped`]),
  ].join(', ');
  if (dryRun) {
    say(printable(`${name}: nothing was changed; it would be, with ${flows}:`));
    for (const line of differences(before, after)) say(printable(line));
    return;
  }
  const changes = [...portChanges(before, after), ...limitChanges(before, after)];
  const when = [`in force after ${effectiveMs.toFixed(1)} ms`];
  if (before.generation !== after.generation) {
    const [was, is] = [policyLine(before), policyLine(after)];
    if (was !== is || changes.length === 0) changes.unshift(`${was} -> ${is}`);
    when.unshift(`generation ${after.generation}`);
    when.push(flows);
  }
  const change = changes.length === 0 ? 'the same as before' : changes.join(', ');
  say(printable(`${name}: ${change} (${when.join(', ')})`));
}

function counted(count: number, what: string): string {
  return `${count} ${count === 1 ? what : `${what}s`}`;
}
