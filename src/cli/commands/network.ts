import type { Command } from 'commander';
import { withDaemon, type Daemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { policyOf } from '../../api/values.ts';
import { formatPolicy, type Policy } from '../../policy/policy.ts';
import { jsonFlag, LIST_FLAGS, refusedFlag, valueFlag } from '../args/flags.ts';
import { table } from '../print/table.ts';
import { printable, say, sayJson } from '../print/text.ts';
import { networkJson, vmJson } from '../print/vm.ts';

interface Options {
  networkPolicy?: Policy;
  json?: true;
}

export function define(command: Command): Command {
  command
    .argument('<vm>', 'an id, a name or a unique prefix')
    .addOption(
      valueFlag(
        '--network-policy <policy>',
        'replace the policy by allow-all or deny-all, on the running VM',
        policyOf,
      ),
    )
    .addOption(jsonFlag('the policy, or the receipt of a change,'));
  for (const flags of LIST_FLAGS) command.addOption(refusedFlag(flags));
  return command
    .addHelpText(
      'after',
      '\nWithout a flag it shows the policy. A change is in force when its receipt is printed.',
    )
    .action(network);
}

async function network(vm: string, options: Options): Promise<void> {
  const { networkPolicy: policy } = options;
  await withDaemon(loadSettings(), (daemon) =>
    policy === undefined ? show(daemon, vm, options) : replace(daemon, vm, policy, options),
  );
}

async function show(daemon: Daemon, name: string, options: Options): Promise<void> {
  const { vm } = await daemon.call('getVm', { vm: name }, 30_000);
  if (vm === undefined) return;
  const { id, name: called, network: now } = vmJson(vm);
  if (options.json) {
    sayJson({ id, name: called, network: now });
    return;
  }
  say(
    table([
      ['vm', called === id ? id : `${called} (${id})`],
      ['policy', now.policy],
      ['generation', String(now.generation)],
    ]),
  );
}

async function replace(
  daemon: Daemon,
  vm: string,
  policy: Policy,
  options: Options,
): Promise<void> {
  const request = { vm, policy: formatPolicy(policy) };
  const receipt = await daemon.call('setNetwork', request, 30_000);
  const before = networkJson(receipt.before);
  const after = networkJson(receipt.after);
  const { id = '', name = id } = receipt;
  const effectiveMs = Number(receipt.effectiveMs ?? 0);
  if (options.json) sayJson({ id, name, before, after, effectiveMs });
  else {
    const change = `${before.policy} -> ${after.policy}`;
    const when = `generation ${after.generation}, in force after ${effectiveMs.toFixed(1)} ms`;
    say(printable(`${name}: ${change} (${when})`));
  }
}
