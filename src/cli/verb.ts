import { Command } from 'commander';

/** What one file of `commands/` exports. */
export interface VerbModule {
  /** Adds arguments, flags, help and the action to the verb's empty command. */
  define(command: Command): Command;
}

/** Every verb: what the help of `vmsan` shows, and where the rest is. */
export interface Verb {
  name: string;
  alias?: string;
  summary: string;
  load(): Promise<VerbModule>;
}

export const VERBS: readonly Verb[] = [
  {
    name: 'create',
    summary: 'create and boot a microVM',
    load: () => import('./commands/create.ts'),
  },
  { name: 'list', alias: 'ls', summary: 'list microVMs', load: () => import('./commands/list.ts') },
  {
    name: 'inspect',
    summary: 'show all that is known of microVMs',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'exec',
    summary: 'run a command in a microVM',
    load: () => import('./commands/exec.ts'),
  },
  {
    name: 'network',
    summary: 'show or replace the network policy of a microVM',
    load: () => import('./commands/network.ts'),
  },
  {
    name: 'port',
    summary: 'list the published ports of a microVM',
    load: () => import('./commands/port.ts'),
  },
  {
    name: 'top',
    summary: 'watch what microVMs use and send',
    load: () => import('./commands/top.ts'),
  },
  {
    name: 'metrics',
    summary: 'print what microVMs use and send, for Prometheus',
    load: () => import('./commands/metrics.ts'),
  },
  {
    name: 'explain',
    summary: 'say what a network policy makes of a name or an address',
    load: () => import('./commands/explain.ts'),
  },
  {
    name: 'audit',
    summary: 'attack the network policy of a microVM from inside, and say what held',
    load: () => import('./commands/audit.ts'),
  },
  {
    name: 'traffic',
    summary: 'show what was decided of what a microVM asked for',
    load: () => import('./commands/traffic.ts'),
  },
  {
    name: 'stop',
    summary: 'stop microVMs, which keep their disks',
    load: () => import('./commands/stop.ts'),
  },
  {
    name: 'start',
    summary: 'boot stopped microVMs again',
    load: () => import('./commands/start.ts'),
  },
  {
    name: 'wait',
    summary: 'wait until microVMs are stopped',
    load: () => import('./commands/wait.ts'),
  },
  {
    name: 'logs',
    summary: 'show the console of a microVM',
    load: () => import('./commands/logs.ts'),
  },
  {
    name: 'events',
    summary: 'show what became of microVMs',
    load: () => import('./commands/events.ts'),
  },
  {
    name: 'remove',
    alias: 'rm',
    summary: 'remove microVMs',
    load: () => import('./commands/remove.ts'),
  },
  {
    name: 'doctor',
    summary: 'check what this host gives vmsan',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'daemon',
    summary: 'start, stop or ask for the daemon',
    load: () => import('./commands/daemon.ts'),
  },
];

/** An empty command whose errors are thrown, and whose usage errors print nothing by themselves. */
export function emptyCommand(name: string): Command {
  return new Command(name)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .helpOption('-h, --help', 'show this help');
}
