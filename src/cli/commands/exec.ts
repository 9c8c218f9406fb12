import type { Command } from 'commander';
import { execCall } from '../../api/agent.ts';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { Failure } from '../../host/failure.ts';
import { terminalSize } from '../../host/terminal.ts';
import { jsonFlag, valueFlag } from '../args/flags.ts';
import { listExecs } from '../exec/list.ts';
import { collected, streamed } from '../exec/output.ts';
import { parseReference } from '../exec/place.ts';
import { runInGuest, type Opening } from '../exec/session.ts';
import { sayJson } from '../print/text.ts';

interface Options {
  interactive?: true;
  tty?: true;
  user?: string;
  workdir?: string;
  env?: string[];
  attach?: true;
  list?: true;
  json?: true;
}

export function define(command: Command): Command {
  return command
    .usage(
      `[options] <vm> [--] <command> [arguments...]
       vmsan exec --attach [-it] [--json] <vm> [<id>]
       vmsan exec --list [--json] <vm>`,
    )
    .argument('<vm>', 'an id, a name or a unique prefix')
    .argument('[command...]', 'the program and its arguments; no shell reads them')
    .passThroughOptions()
    .option('-i, --interactive', 'pass stdin on until it ends')
    .option('-t, --tty', 'give it a terminal; with -i yours')
    .option('-u, --user <user>', 'a name or uid, with ":group" if needed (default: root)')
    .addOption(valueFlag('-w, --workdir <path>', "default: the user's home", absolute))
    .addOption(valueFlag('-e, --env <KEY=VALUE>', 'may repeat; KEY alone passes ours on', variable))
    .option('--attach', 'go on with a command that was left when the daemon went away')
    .option('--list', 'show what runs by exec, and what was left')
    .addOption(jsonFlag('at the end {"exitCode", "signal", "stdout", "stderr"}'))
    .addHelpText(
      'after',
      `
Options after the VM's name belong to the command. The exit code is the command's (128 + signal
when a signal ended it); 125 when vmsan failed, 126 when the command cannot be executed, 127 when
it is not there.

A command outlives the daemon: exec says so in one line, exits with 125, and --attach goes on where
it was, within 10 minutes of its end; 3 is its exit code when there is no such command. 1 MiB of
output is kept meanwhile. <id> is needed only if there are several; without the @number in that line
output comes again from the first byte that is kept.

With -it keys, Ctrl-C among them, go to the guest; your terminal is as before when the command ends.`,
    )
    .action(exec);
}

async function exec(vm: string, words: string[], options: Options): Promise<void> {
  if (options.list) {
    refuse(options, words, 'list', ['list', 'json'], 0);
    return withDaemon(loadSettings(), (daemon) => listExecs(daemon, vm, options.json ?? false));
  }
  if (options.tty) checkTerminal(options);
  const opening = options.attach ? attachment(words, options) : start(words, options);
  const output = options.json ? collected() : streamed();
  const end = await withDaemon(loadSettings(), async (daemon) =>
    runInGuest(await execCall(daemon, vm), vm, opening, output),
  );
  process.exitCode = end.exitCode;
  if (options.json) sayJson({ ...end, ...output.text() });
}

function start(words: string[], options: Options): Opening {
  // `exec vm -- ls` and `exec -- vm ls` are both written.
  const argv = words[0] === '--' ? words.slice(1) : words;
  if (argv.length === 0) throw new Failure('bad_input', 'no command to run was given');
  const value = {
    argv,
    env: options.env ?? [],
    cwd: options.workdir ?? '',
    user: options.user ?? '',
    stdin: options.interactive ?? false,
    ...(options.tty ? { tty: { size: terminalSize(), term: process.env['TERM'] ?? '' } } : {}),
  };
  return { case: 'start', value };
}

function attachment(words: string[], options: Options): Opening {
  refuse(options, words, 'attach', ['attach', 'json', 'interactive', 'tty'], 1);
  const [reference] = words;
  const { id, received } =
    reference === undefined ? { id: '', received: 0 } : parseReference(reference);
  const flags = { stdin: options.interactive ?? false, tty: options.tty ?? false };
  return { case: 'attach', value: { id, received, ...flags } };
}

/** What would be passed over is refused. */
function refuse(
  options: Options,
  words: string[],
  mode: string,
  flags: (keyof Options)[],
  most: number,
): void {
  for (const flag of Object.keys(options) as (keyof Options)[]) {
    if (flags.includes(flag)) continue;
    throw new Failure('bad_input', `--${flag} has no meaning with --${mode}`);
  }
  const surplus = words[most];
  if (surplus !== undefined) {
    throw new Failure('bad_input', `"${surplus}" has no meaning with --${mode}`);
  }
}

/** As in Docker: without -i there are no keys to pass on, so any stdin will do. */
function checkTerminal({ interactive, json }: Options): void {
  if (json && interactive) {
    throw new Failure('bad_input', '--json keeps the output, so -it would show nothing', {
      hint: 'leave one of them out',
    });
  }
  if (interactive && !process.stdin.isTTY) {
    throw new Failure('bad_input', '--tty: stdin is not a terminal', {
      hint: 'use -i alone to pass stdin on',
    });
  }
}

function absolute(text: string): string {
  if (text.startsWith('/')) return text;
  throw new Failure('bad_input', `"${text}" is not an absolute path`);
}

function variable(text: string, before: string[] = []): string[] {
  const [key = '', ...rest] = text.split('=');
  if (key === '') throw new Failure('bad_input', `"${text}" is not KEY=VALUE`);
  if (rest.length > 0) return [...before, text];
  const ours = process.env[key];
  return ours === undefined ? before : [...before, `${key}=${ours}`];
}
