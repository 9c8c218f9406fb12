import { CommanderError, type Command } from 'commander';
import { Failure } from '../host/failure.ts';
import { buildId, version } from '../api/build.ts';
import { asFailure, exitCodeOf } from '../api/failures.ts';
import { printFailure } from './print/failure.ts';
import { emptyCommand, VERBS, type Verb } from './verb.ts';

/**
 * The whole program: reads `argv` (without node and script), does what it says,
 * and sets the process's exit code. Never throws.
 */
export async function runCli(argv: readonly string[]): Promise<void> {
  dieQuietlyOfClosedPipes();
  const verb = verbOf(argv);
  try {
    const program = await programFor(verb);
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const failure = error instanceof CommanderError ? usageFailure(error, verb) : asFailure(error);
    printFailure(failure, { json: asksForJson(argv, verb) });
    process.exitCode = passesThrough(argv, verb, failure) ? 125 : exitCodeOf(failure);
  }
}

async function programFor(asked: Verb | undefined): Promise<Command> {
  const program = emptyCommand('vmsan')
    .description('Real microVMs on this host, whose network does exactly what you said.')
    .usage('<command> [options]')
    .version(`vmsan ${version()} (${buildId()})`, '-v, --version', 'show the version')
    .helpCommand('help [command]', 'show the help of a command')
    .enablePositionalOptions()
    .addHelpText('after', '\n<vm> is an id, a name, or a unique prefix of either.');
  for (const verb of VERBS) {
    const empty = emptyCommand(verb.name).summary(verb.summary).description(sentence(verb.summary));
    if (verb.alias !== undefined) empty.alias(verb.alias);
    program.addCommand(verb === asked ? (await verb.load()).define(empty) : empty);
  }
  return program;
}

function verbOf(argv: readonly string[]): Verb | undefined {
  const words = argv.filter((word) => !word.startsWith('-'));
  const name = words[0] === 'help' ? words[1] : words[0];
  return VERBS.find((verb) => verb.name === name || verb.alias === name);
}

/** Commander's "error: …\n(Did you mean …?)" as a failure of ours. */
function usageFailure(error: CommanderError, verb: Verb | undefined): Failure {
  const help = verb === undefined ? 'vmsan --help' : `vmsan ${verb.name} --help`;
  // A verb of several verbs, alone.
  if (error.code === 'commander.help') {
    return new Failure('bad_input', `vmsan ${verb?.name ?? ''} needs a command`, { hint: help });
  }
  const [headline = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const hint = suggestion?.replace(/^\(Did you mean (.*)\?\)$/, 'did you mean $1?');
  return new Failure('bad_input', headline, { hint: hint ?? help });
}

/** A guest's own exit codes pass through `exec`, so ours are Docker's one there. */
function passesThrough(argv: readonly string[], verb: Verb | undefined, failure: Failure): boolean {
  if (verb?.name !== 'exec') return false;
  const words = ownWords(argv, verb);
  if (words.includes('--list')) return false;
  return !words.includes('--attach') || failure.code !== 'not_found';
}

function asksForJson(argv: readonly string[], verb: Verb | undefined): boolean {
  return ownWords(argv, verb).includes('--json');
}

/** What is not the guest's: in `exec` the words before the VM's name. */
function ownWords(argv: readonly string[], verb: Verb | undefined): readonly string[] {
  if (verb?.name !== 'exec') return argv;
  const words = argv.slice(argv.indexOf('exec') + 1);
  const guests = words.findIndex((word) => !word.startsWith('-'));
  return words.slice(0, guests === -1 ? undefined : guests);
}

/** `vmsan list | head -1`: end as a C program does, by code 128 + SIGPIPE. */
function dieQuietlyOfClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? 141 : 1);
    });
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
