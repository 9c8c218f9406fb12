/**
 * `npm run demo [-- --json]`: boots one real VM on the lab's host, tries what
 * each policy promises, from inside the VM, changes the policy while the VM
 * runs, and cleans up. Exit code 0 when all was as promised, else 1.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/host/failure.ts';
import { denyWhileDownloading, DOWNLOAD } from './demo/live-change.ts';
import {
  countedSince,
  HOST_PORT,
  tryProbe,
  underAllowAll,
  underAllowAllAgain,
  underDenyAll,
} from './demo/probes.ts';
import type { Outcome, Probe } from './demo/probes.ts';
import { Narrator, tableOf } from './demo/report.ts';
import { Lab } from './lab.ts';

const VM = 'demo';

interface Report {
  ok: boolean;
  seconds: number;
  outcomes: Outcome[];
  /** Why it stopped early. */
  error?: string;
}

async function demonstrate(lab: Lab, narrator: Narrator, outcomes: Outcome[]): Promise<void> {
  await lab.assertNoWayOut();
  await using listener = await lab.listenOnHost(HOST_PORT);
  const take = (outcome: Outcome) => {
    outcomes.push(outcome);
    narrator.outcome(outcome);
  };
  const tryAll = async (policy: string, probes: readonly Probe[]) => {
    for (const probe of probes) take(await tryProbe(lab, VM, policy, probe, listener));
  };

  narrator.heading('A microVM, its own kernel, under allow-all');
  await narrator.step(`vmsan create --name ${VM} --network-policy allow-all`, () =>
    lab.vmsan(['create', '--name', VM, '--network-policy', 'allow-all'], { check: true }),
  );
  await tryAll('allow-all', underAllowAll);

  narrator.heading('The same VM, not restarted, under deny-all; a download was running');
  using download = await denyWhileDownloading(lab, VM);
  const mark = await lab.mark();
  await tryAll('deny-all', underDenyAll);
  take(await countedSince(lab, mark, DOWNLOAD.address));
  take(await download.outcome());

  narrator.heading('And back');
  await narrator.step(`vmsan network ${VM} --network-policy allow-all`, () =>
    lab.vmsan(['network', VM, '--network-policy', 'allow-all'], { check: true }),
  );
  await tryAll('allow-all again', underAllowAllAgain);

  await narrator.step(`vmsan rm --force ${VM}`, () =>
    lab.vmsan(['rm', '--force', VM], { check: true }),
  );
}

async function main(json: boolean): Promise<Report> {
  const start = performance.now();
  const stream = json ? process.stderr : process.stdout;
  const narrator = new Narrator((text) => void stream.write(text));
  const outcomes: Outcome[] = [];
  let error: string | undefined;
  narrator.heading(
    'A host and a small internet, in network namespaces: no packet leaves this machine',
  );
  try {
    await using lab = await narrator.step('made', () => Lab.start());
    const interrupt = () => void lab.stop().finally(() => process.exit(130));
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    await demonstrate(lab, narrator, outcomes);
  } catch (thrown) {
    error = messageOf(thrown);
  }
  const seconds = Number(((performance.now() - start) / 1000).toFixed(1));
  const ok = error === undefined && outcomes.every(({ asPromised }) => asPromised);
  return { ok, seconds, outcomes, ...(error === undefined ? {} : { error }) };
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const report = await main(values.json);
if (values.json) {
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
} else {
  process.stdout.write(`\n${tableOf(report.outcomes)}\n\n`);
  process.stdout.write(
    report.ok
      ? `All as promised, in ${report.seconds} s. Nothing of it is left on this machine.\n`
      : `Not as promised.${report.error === undefined ? '' : ` ${report.error}`}\n`,
  );
}
process.exitCode = report.ok ? 0 : 1;
