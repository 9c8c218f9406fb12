import { statSync } from 'node:fs';
import { Failure } from '../host/failure.ts';
import { buildId } from './build.ts';
import { settingsEnv, type Settings } from './settings.ts';

/**
 * What a caller and a daemon tell each other on every call, so that a CLI in
 * one network namespace, or with other settings, never drives the daemon of
 * another. It travels as request headers:
 *
 *     vmsan-build      the build id
 *     vmsan-netns      <dev>:<inode> of the caller's network namespace
 *     vmsan-settings   its settings as a query string: VMSAN_RUN_DIR=%2Frun%2Fvmsan&…
 *
 * A caller that sends none of them (curl) is accepted as it is.
 */
export interface Identity {
  build: string;
  netns: string;
  /** By environment variable. */
  settings: Readonly<Record<string, string>>;
}

const BUILD = 'vmsan-build';
const NETNS = 'vmsan-netns';
const SETTINGS = 'vmsan-settings';

/** Names the VM of an `AgentService` call on vmsand's socket. */
export const VM_HEADER = 'vmsan-vm';

/** Who this process is. */
export function identityOf(settings: Settings): Identity {
  const { dev, ino } = statSync('/proc/self/ns/net');
  return { build: buildId(), netns: `${dev}:${ino}`, settings: settingsEnv(settings) };
}

/** The request headers that say who calls. */
export function identityHeaders(identity: Identity): Record<string, string> {
  return {
    [BUILD]: identity.build,
    [NETNS]: identity.netns,
    [SETTINGS]: new URLSearchParams(identity.settings).toString(),
  };
}

/** The request headers of a caller with these settings. */
export function clientHeaders(settings: Settings): Record<string, string> {
  return identityHeaders(identityOf(settings));
}

/**
 * Judges a call by its headers.
 * @param own who the daemon is
 * @param anyBuild accept callers of other builds: for GetDaemon and StopDaemon,
 *   by which a newer CLI replaces an older daemon
 * @returns 'ok', or the Failure (`conflict`) to answer with
 */
export function judgeCaller(
  own: Identity,
  headers: Headers,
  { anyBuild = false } = {},
): 'ok' | Failure {
  const netns = headers.get(NETNS);
  if (netns !== null && netns !== own.netns) {
    return new Failure(
      'conflict',
      `the daemon of ${own.settings['VMSAN_RUN_DIR']} is in network namespace ${own.netns}, this command in ${netns}`,
      {
        hint: 'run vmsan in the namespace of the daemon, or set another VMSAN_RUN_DIR and VMSAN_STATE_DIR',
      },
    );
  }
  const settings = new URLSearchParams(headers.get(SETTINGS) ?? '');
  for (const [name, value] of Object.entries(own.settings)) {
    // A build that does not know this variable says nothing about it.
    const theirs = settings.get(name) ?? value;
    if (theirs === value) continue;
    return new Failure(
      'conflict',
      `the daemon runs with ${name}="${value}", this command with ${name}="${theirs}"`,
      { hint: 'use the settings of the daemon, or end it: vmsan daemon stop' },
    );
  }
  const build = headers.get(BUILD);
  if (build !== null && build !== own.build && !anyBuild) {
    return new Failure('conflict', `the daemon is build ${own.build}, this command ${build}`, {
      hint: 'vmsan daemon stop && vmsan daemon start',
    });
  }
  return 'ok';
}
