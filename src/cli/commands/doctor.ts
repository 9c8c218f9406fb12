import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { asFailure } from '../../api/failures.ts';
import { loadSettings } from '../../api/settings.ts';
import type { Check_StatusJson } from '../../gen/vmsan/v1/vmsan_pb.js';
import type { Failure } from '../../host/failure.ts';
import { jsonFlag } from '../args/flags.ts';
import { printable, say, sayJson } from '../print/text.ts';

interface CheckJson {
  name: string;
  status: 'ok' | 'note' | 'failed';
  detail: string;
  hint: string | null;
}

export function define(command: Command): Command {
  return command
    .addOption(jsonFlag('an array of checks'))
    .addHelpText('after', '\nStarts the daemon when none runs. Exit code 1 when a check failed.')
    .action(doctor);
}

async function doctor(options: { json?: true }): Promise<void> {
  const checks = await checkAll();
  if (options.json) sayJson(checks);
  else print(checks);
  if (checks.some((check) => check.status === 'failed')) process.exitCode = 1;
}

/** The daemon's checks, or the one that says why there is no daemon. */
async function checkAll(): Promise<CheckJson[]> {
  const settings = loadSettings();
  try {
    const answer = await withDaemon(settings, (daemon) => daemon.call('doctor', {}, 60_000));
    return (answer.checks ?? []).map(({ name = '', status, detail = '', hint }) => ({
      name,
      status: statusName(status),
      detail,
      hint: hint === undefined || hint === '' ? null : hint,
    }));
  } catch (error) {
    return [daemonCheck(asFailure(error))];
  }
}

function daemonCheck({ message, hint }: Failure): CheckJson {
  const elsewhere = hint === 'vmsan doctor' ? undefined : hint;
  return { name: 'daemon', status: 'failed', detail: message, hint: elsewhere ?? null };
}

const MARKS = { ok: '✓', note: '!', failed: '✗' } as const;

function print(checks: readonly CheckJson[]): void {
  const width = Math.max(...checks.map((check) => check.name.length));
  for (const { name, status, detail, hint } of checks) {
    say(`${MARKS[status]} ${printable(name).padEnd(width)}   ${printable(detail)}`.trimEnd());
    if (hint !== null) say(`  ${' '.repeat(width)}   hint: ${printable(hint)}`);
  }
}

function statusName(status: Check_StatusJson = 'STATUS_UNSPECIFIED'): CheckJson['status'] {
  switch (status) {
    case 'STATUS_OK':
      return 'ok';
    case 'STATUS_NOTE':
      return 'note';
    case 'STATUS_FAILED':
    case 'STATUS_UNSPECIFIED':
      return 'failed';
  }
}
