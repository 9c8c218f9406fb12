import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../src/host/failure.ts';
import { makeCertificates } from './certificates.ts';
import { controlGroupsOf, removeControlGroups } from './control-groups.ts';
import { joinMachines } from './links.ts';
import { firstLine, letGo, Machine } from './machine.ts';
import { hostSetup, INTERNET_SETUP } from './mounts.ts';
import { countArrivals } from './packets.ts';
import { labPaths, TREE, type LabPaths } from './paths.ts';
import { claim, readRecord, sweep, writeRecord } from './record.ts';
import * as world from './world.ts';

export interface BuildOptions {
  /** The lab outlives this process; `Lab.attach` finds it. Default false: it ends with it, however it ends. */
  persistent?: boolean;
  /** Told what is done next. When it throws, the start fails there. */
  onStep?: (step: string) => void;
}

/**
 * Makes all of a lab: namespaces, links, certificates, servers.
 * @throws Error when the name is taken or a step fails; nothing is left then
 */
export async function build(
  name: string,
  options: BuildOptions,
): Promise<{ host: Machine; internet: Machine }> {
  sweep();
  claim(name);
  const started: Machine[] = [];
  const paths = labPaths(name);
  const { onStep: step = () => {}, persistent = false } = options;
  let certificates: Promise<void> | undefined;
  try {
    step('make the namespaces');
    certificates = makeCertificates(paths);
    certificates.catch(() => {});
    makeHostFiles(paths);
    const start = async (setup: string) => {
      const machine = await Machine.start({ setup, persistent });
      started.push(machine);
      return machine;
    };
    const [host, internet] = await allOrFirstError(start(hostSetup(paths)), start(INTERNET_SETUP));
    step('join them');
    await joinMachines(host, internet);
    await countArrivals(internet);
    step('make the certificates');
    await certificates;
    step('start the servers');
    await startServers(name, internet, paths);
    const groups = controlGroupsOf(host);
    writeRecord(paths.dir, { host: host.holder, internet: internet.holder, groups });
    return { host, internet };
  } catch (error) {
    await Promise.allSettled([certificates]);
    await remove(name, started).catch((undo: unknown) => {
      throw new AggregateError([error, undo], `${messageOf(error)}; then ${messageOf(undo)}`);
    });
    throw error;
  }
}

/** What the host's own users read, whatever this process's umask. */
function makeHostFiles(paths: LabPaths): void {
  for (const dir of [paths.etc, paths.etcWork, paths.varLib, paths.varLibWork, paths.sys]) {
    mkdirSync(dir);
    chmodSync(dir, 0o755);
  }
  const files = {
    'resolv.conf': `nameserver ${world.resolver.address}\n`,
    hosts: '127.0.0.1 localhost\n::1 localhost\n',
  };
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(paths.etc, file), text);
    chmodSync(join(paths.etc, file), 0o644);
  }
}

async function startServers(name: string, internet: Machine, paths: LabPaths): Promise<void> {
  const errors = openSync(paths.internetErrors, 'a', 0o600);
  try {
    const argv = [process.execPath, `${TREE}/test/lab/internet/main.ts`, name];
    const child = internet.spawn(argv, { stdio: ['ignore', 'pipe', errors] });
    await firstLine(child, "the lab's internet").catch((cause: unknown) => {
      throw new Error(readFileSync(paths.internetErrors, 'utf8').trim(), { cause });
    });
    letGo(child);
  } finally {
    closeSync(errors);
  }
}

/** Waits for both, even when one fails: what the other made must be known to be removed. */
async function allOrFirstError<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

/**
 * Ends the machines with all that runs there, then removes the lab's files.
 * @throws AggregateError of the machines that do not end; the other one has
 */
export async function remove(name: string, machines: readonly Machine[]): Promise<void> {
  const results = await Promise.allSettled(machines.map((machine) => machine.stop()));
  const failed = results.filter((result) => result.status === 'rejected');
  if (failed.length > 0) {
    throw new AggregateError(
      failed.map(({ reason }) => reason as unknown),
      `lab ${name} does not stop`,
    );
  }
  removeControlGroups(readRecord(name)?.groups);
  rmSync(labPaths(name).dir, { recursive: true, force: true });
}
