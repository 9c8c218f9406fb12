import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { policyLine } from '../print/policy.ts';
import { table } from '../print/table.ts';
import { printable, say, sayJson } from '../print/text.ts';
import { networkJson } from '../print/vm.ts';

interface Options {
  rebindingName?: string;
  json?: true;
}

/** More than the guest and the daemon may take. */
const DEADLINE_MS = 120_000;

export function define(command: Command): Command {
  return command
    .argument('<vm>', 'an id, a name or a unique prefix')
    .option(
      '--rebinding-name <name>',
      'an allowed name that leads into a private network, to try that too',
    )
    .addOption(jsonFlag('the attempts'))
    .addHelpText(
      'after',
      `
Runs attacks in the guest, with the agent's own program, and looks at the VM's link while they
run. An attempt is held; escaped; open by nature; allowed by the policy, and then not made; or
not judged, and then it says what was missing. Takes some seconds, changes nothing, and may be
repeated. What leaves the host if all holds: lookups, and a request, of allowed names. Exit code 1
when anything escaped. The guest's kernel takes part: of a guest that lies only what was seen at
its link is certain.`,
    )
    .action(audit);
}

async function audit(vm: string, options: Options): Promise<void> {
  const request = { vm, rebindingName: options.rebindingName ?? '' };
  const answer = await withDaemon(loadSettings(), (daemon) =>
    daemon.call('auditVm', request, DEADLINE_MS),
  );
  const { id = '', name = id } = answer;
  const network = networkJson(answer.network);
  const attempts = (answer.attempts ?? []).map(
    ({ name: what = '', verdict = '', expected = '', detail = '' }) => ({
      name: what,
      verdict,
      expected,
      detail,
    }),
  );
  const count = (verdict: string) => attempts.filter((one) => one.verdict === verdict).length;
  if (count('escaped') > 0) process.exitCode = 1;
  if (options.json) {
    sayJson({ id, name, network, attempts });
    return;
  }
  say(table(attempts.map((one) => [one.name, one.verdict, one.detail])));
  const sums = VERDICTS.map((verdict) => `${count(verdict)} ${verdict}`).join(', ');
  say(printable(`${name}: ${policyLine(network)} (generation ${network.generation}): ${sums}`));
}

const VERDICTS = ['held', 'escaped', 'open', 'allowed', 'not judged'] as const;
