import type { Daemon } from '../../api/client.ts';
import type { ResponseOf } from '../../api/calls.ts';
import { table } from '../print/table.ts';
import { say, sayJson } from '../print/text.ts';

type ExecInfo = NonNullable<ResponseOf<'listVmExecs'>['execs']>[number];

/** Shows what runs in a VM by exec, and the ends that nobody has heard of. */
export async function listExecs(daemon: Daemon, vm: string, json: boolean): Promise<void> {
  const { execs = [] } = await daemon.call('listVmExecs', { vm }, 20_000);
  if (!json) say(table(execs.map(row), ['ID', 'PID', 'STATE', 'COMMAND']));
  else sayJson(execs.map(plain));
}

function plain({ id = '', pid = 0, argv = [], stdin, tty, attached, exited }: ExecInfo) {
  const flags = { stdin: stdin ?? false, tty: tty ?? false, attached: attached ?? false };
  return { id, pid, argv, ...flags, exitCode: exited === undefined ? null : (exited.code ?? 0) };
}

function row(info: ExecInfo): string[] {
  const { id, pid, argv, attached, exitCode } = plain(info);
  const left = attached ? 'attached' : 'left alone';
  const state = exitCode === null ? `runs, ${left}` : `ended with ${exitCode}`;
  return [id, String(pid), state, argv.join(' ')];
}
