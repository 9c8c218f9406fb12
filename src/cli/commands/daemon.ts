import { resolve } from 'node:path';
import type { Command } from 'commander';
import { daemonClient, withDaemon } from '../../api/client.ts';
import { loadSettings, type Settings } from '../../api/settings.ts';
import { stopDaemon } from '../../api/stop.ts';
import type { GetDaemonResponseJson } from '../../gen/vmsan/v1/vmsan_pb.js';
import { Failure } from '../../host/failure.ts';
import { jsonFlag } from '../args/flags.ts';
import { table } from '../print/table.ts';
import { say, sayJson } from '../print/text.ts';
import { emptyCommand } from '../verb.ts';

interface Json {
  json?: true;
}

export function define(command: Command): Command {
  const start = emptyCommand('start')
    .description('Start the daemon, if it does not run yet.')
    .addOption(jsonFlag('the daemon'))
    .action(startIt);
  const stop = emptyCommand('stop')
    .description('End the daemon. VMs go on running, under their policy.')
    .option('--purge', 'remove every VM, and all that vmsan changed on this host, first')
    .addOption(jsonFlag('what was done'))
    .action(stopIt);
  const status = emptyCommand('status')
    .description('Show the daemon, without starting it. Exit code 3 when none runs.')
    .addOption(jsonFlag('the daemon'))
    .action(showIt);
  const unit = emptyCommand('unit')
    .description('Print a systemd unit that starts the daemon when the host boots.')
    .addHelpText('after', UNIT_HELP)
    .action(printUnit);
  command.usage('start|stop|status|unit');
  for (const verb of [start, stop, status, unit]) command.addCommand(verb);
  return command;
}

const UNIT_HELP = `
Settings in the environment go into it. To have it in force:
  vmsan daemon unit >/etc/systemd/system/vmsan.service
  systemctl enable vmsan.service`;

/**
 * The daemon that a command starts is the one systemd would: the unit runs the
 * command. What it started goes on when the unit is stopped, as VMs do.
 */
function printUnit(): void {
  const settings = Object.entries(process.env).filter(([name]) => name.startsWith('VMSAN_'));
  say(
    [
      '[Unit]',
      'Description=vmsan: microVMs that run again after a reboot',
      'Wants=network-online.target',
      'After=network-online.target',
      '',
      '[Service]',
      'Type=oneshot',
      'RemainAfterExit=yes',
      ...settings.map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`),
      `ExecStart=${quoted(resolve(process.argv[1] ?? '', '../../bin/vmsan'))} daemon start`,
      'KillMode=process',
      'Delegate=yes',
      '',
      '[Install]',
      'WantedBy=multi-user.target',
    ].join('\n'),
  );
}

/** A word of systemd's (systemd.syntax(7)): `%` begins a specifier, `$` a variable. */
function quoted(text: string): string {
  if (/^[\w/.:=,@+-]+$/.test(text)) return text;
  return `"${text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;
}

async function startIt(options: Json): Promise<void> {
  const settings = loadSettings();
  const before = await running(settings);
  const now = viewOf(await withDaemon(settings, (daemon) => daemon.call('getDaemon', {}, 30_000)));
  if (options.json) sayJson(now);
  else if (before?.pid === now.pid) say(`vmsand runs already (pid ${now.pid})`);
  else say(`vmsand runs (pid ${now.pid})`);
}

async function stopIt(options: Json & { purge?: true }): Promise<void> {
  const settings = loadSettings();
  const purge = options.purge ?? false;
  const before = await running(settings);
  if (before === undefined && !purge) {
    if (options.json) sayJson({ stopped: false, removedVms: 0 });
    else say('vmsand does not run');
    return;
  }
  const removedVms = await stopDaemon(settings, { purge });
  if (options.json) sayJson({ stopped: true, removedVms });
  else if (!purge) {
    say('vmsand has ended');
    const left = before?.runningVms ?? 0;
    if (left > 0) say(`${vms(left)} on running, under the policy last set`);
  } else {
    const count = `${removedVms} ${removedVms === 1 ? 'VM' : 'VMs'}`;
    say(`removed ${count} and all that vmsan had set up on this host`);
    say(`vmsand has ended; the images in ${settings.cacheDir} are kept`);
  }
}

async function showIt(options: Json): Promise<void> {
  const now = await running(loadSettings());
  if (now === undefined) {
    process.exitCode = 3;
    if (options.json) sayJson({ running: false });
    else say('vmsand does not run');
    return;
  }
  if (options.json) sayJson(now);
  else {
    say(
      table([
        ['pid', String(now.pid)],
        ['gate pid', String(now.gatePid)],
        ['build', now.build],
        ['running VMs', String(now.runningVms)],
        ['started', now.startedAt],
        ['state dir', now.stateDir],
        ['run dir', now.runDir],
      ]),
    );
  }
}

/** The daemon that runs now; never starts one. */
async function running(settings: Settings): Promise<DaemonView | undefined> {
  try {
    return viewOf(await daemonClient(settings, 'fail').call('getDaemon', {}, 10_000));
  } catch (error) {
    if (error instanceof Failure && error.code === 'not_found') return undefined;
    throw error;
  }
}

/** A daemon as `--json` prints it. */
interface DaemonView {
  running: true;
  pid: number;
  gatePid: number;
  build: string;
  runningVms: number;
  /** RFC 3339, UTC. */
  startedAt: string;
  stateDir: string;
  runDir: string;
}

function viewOf(now: GetDaemonResponseJson): DaemonView {
  return {
    running: true,
    pid: now.pid ?? 0,
    gatePid: now.gatePid ?? 0,
    build: now.build ?? '',
    runningVms: now.runningVms ?? 0,
    startedAt: new Date(Number(now.startedAtMs ?? 0)).toISOString(),
    stateDir: now.stateDir ?? '',
    runDir: now.runDir ?? '',
  };
}

function vms(count: number): string {
  return count === 1 ? '1 VM goes' : `${count} VMs go`;
}
