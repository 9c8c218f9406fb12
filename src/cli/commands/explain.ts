import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { Failure } from '../../host/failure.ts';
import { jsonFlag } from '../args/flags.ts';
import { addPolicyFlags, policyRequest, saysPolicy, type PolicyOptions } from '../args/policy.ts';
import { table } from '../print/table.ts';
import { printable, say, sayJson } from '../print/text.ts';

interface Options extends PolicyOptions {
  json?: true;
}

export function define(command: Command): Command {
  command.argument('<words...>', 'a VM and a target; with the flags of a policy, a target alone');
  return addPolicyFlags(command, 'ask of a policy instead of a VM: allow-all, deny-all or custom')
    .addOption(jsonFlag('the explanation'))
    .addHelpText(
      'after',
      `
A target is a URL, a name or an IPv4 address, perhaps with a port: https://example.com/,
example.com:22, 192.0.2.7:53/udp. Says whether the policy allows it, by which rule, and
which name holds which address for how long, what is open to it now, and how often it was allowed
and denied. Nothing is sent.`,
    )
    .action(explain);
}

async function explain(words: string[], options: Options): Promise<void> {
  const ofPolicy = saysPolicy(options);
  const [vm = '', target = '', ...more] = ofPolicy ? ['', ...words] : words;
  if (target === '' || more.length > 0) {
    throw new Failure('bad_input', 'explain needs a VM and a target, or a policy and a target', {
      hint: 'vmsan explain web https://example.com/',
    });
  }
  const request = { vm, target, ...policyRequest(options) };
  const answer = await withDaemon(loadSettings(), (daemon) =>
    daemon.call('explain', request, 30_000),
  );
  const judgements = (answer.judgements ?? []).map(
    ({ what = '', verdict = '', rule = '', reason = '' }) => ({ what, verdict, rule, reason }),
  );
  const held = (answer.held ?? []).map(({ name = '', address = '', seconds = 0, ports = [] }) => ({
    name,
    address,
    seconds,
    ports,
  }));
  const { flows = 0, proxied = 0 } = answer;
  const [flowPackets, flowBytes] = [Number(answer.flowPackets ?? 0), Number(answer.flowBytes ?? 0)];
  const decided = {
    allowed: Number(answer.timesAllowed ?? 0),
    denied: Number(answer.timesDenied ?? 0),
  };
  if (options.json) {
    sayJson({ target, judgements, held, flows, flowPackets, flowBytes, proxied, decided });
    return;
  }
  const rows = judgements.map(({ what, verdict, rule, reason }) => [
    what,
    VERDICTS[verdict] ?? verdict,
    printable(rule === '' ? reason : `${reason} (${rule})`),
  ]);
  say(table(rows));
  for (const { name, address, seconds, ports } of held) {
    const by = ports.length === 0 ? '' : `, at ${ports.join(', ')}`;
    say(printable(`${name} holds ${address} for ${seconds} s${by}`));
  }
  if (flows > 0) {
    const through = flowPackets === 0 ? '' : `: ${flowPackets} packets, ${flowBytes} bytes`;
    say(`${flows} open ${flows === 1 ? 'flow' : 'flows'}${through}`);
  }
  if (proxied > 0)
    say(`${proxied} open ${proxied === 1 ? 'connection' : 'connections'} by the proxy`);
  const { allowed, denied } = decided;
  if (allowed + denied > 0)
    say(`so far ${allowed} times allowed, ${denied} denied: vmsan traffic ${vm}`);
}

const VERDICTS: Readonly<Record<string, string>> = {
  allow: 'allowed',
  deny: 'denied',
  proxy: 'by its name',
};
