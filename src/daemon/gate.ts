import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient, type Client } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import ipaddr from 'ipaddr.js';
import { buildId, gateProgram } from '../api/build.ts';
import { GateService, type Connection, type DecisionBatch } from '../gen/vmsan/v1/gate_pb.js';
import { spawnDetached } from '../host/detached.ts';
import { bindUdp, closeFd, listenTcp, listenUnix } from '../host/ffi.ts';
import { Failure, messageOf } from '../host/failure.ts';
import {
  identify,
  isAlive,
  killProcess,
  waitUntilGone,
  type ProcessIdentity,
} from '../host/process.ts';
import { prlimitArgv, type Rlimits } from '../host/rlimits.ts';
import type { Upstream } from '../net/host-ruleset.ts';
import type { HostNetwork } from '../net/plan.ts';
import { resolvesNames, type Policy, type Surroundings } from '../policy/policy.ts';
import type { WantedLease } from './leases.ts';

const START_DEADLINE_MS = 15_000;
const CALL_DEADLINE_MS = 2_000;
/** It asks resolvers, some of which may be silent. */
const RENEW_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 5_000;
const WATCH_EVERY_MS = 250;

/** A guest as the gate is told of it. */
export interface GuestView {
  guestIp: string;
  vmId: string;
  policy: Policy;
  generation: number;
}

/** Leases that are acknowledged together. */
export interface LeaseBatch {
  id: bigint;
  leases: readonly WantedLease[];
}

/**
 * vmsan-gate, as its keeper sees it. It is a process of its own uid that
 * outlives vmsand: `start` takes up the one that runs, or starts one.
 */
export class Gate {
  readonly process: ProcessIdentity;
  readonly #client: Client<typeof GateService>;

  private constructor(process: ProcessIdentity, client: Client<typeof GateService>) {
    this.process = process;
    this.#client = client;
  }

  static async start(host: HostNetwork, runDir: string): Promise<Gate> {
    return (await Gate.adopt(runDir)) ?? (await Gate.launch(host, runDir));
  }

  /** The gate that runs already, when it is of this build; one of another build is ended. */
  static async adopt(runDir: string): Promise<Gate | null> {
    const client = clientOf(runDir);
    try {
      const { pid, build } = await client.getGate({}, { timeoutMs: CALL_DEADLINE_MS });
      const process = identify(pid);
      if (process === null) return null;
      const gate = new Gate(process, client);
      if (build === buildId()) return gate;
      await gate.stop();
    } catch {
      // Nobody answers: there is none.
    }
    return null;
  }

  static async launch(host: HostNetwork, runDir: string): Promise<Gate> {
    const octets = ipaddr.IPv4.parse(host.gateIp).octets;
    const path = socketOf(runDir);
    rmSync(path, { force: true });
    const logFile = join(runDir, 'gate.log');
    const sockets: number[] = [];
    let log: number | undefined;
    try {
      sockets.push(bindUdp(octets, host.dnsPort, QUERY_BYTES));
      sockets.push(listenTcp(octets, host.dnsPort));
      sockets.push(listenUnix(path));
      sockets.push(listenTcp(octets, host.httpPort));
      sockets.push(listenTcp(octets, host.tlsPort));
      log = openLog(logFile);
      const child = spawnDetached(gateArgv(host.gateUid, readableProgram(runDir)), {
        log,
        inherit: [...sockets, 'pipe'],
        env: { VMSAN_BUILD: buildId() },
      });
      await readyLine(child.stdio.at(-1) as Socket, logFile);
      const process = child.pid === undefined ? null : identify(child.pid);
      if (process === null)
        throw new Failure('internal', `vmsan-gate ended at once: ${tail(logFile)}`);
      return new Gate(process, clientOf(runDir));
    } finally {
      for (const fd of sockets) closeFd(fd);
      if (log !== undefined) closeSync(log);
    }
  }

  isAlive(): boolean {
    return isAlive(this.process);
  }

  /**
   * Replaces all the gate knows.
   * @returns how many proxied connections that ended
   * @throws when the gate does not answer
   */
  async setSnapshot(
    guests: readonly GuestView[],
    upstreams: readonly Upstream[],
    world: Surroundings,
  ): Promise<number> {
    const { connectionsClosed } = await this.#client.setSnapshot(
      {
        guests: guests.map(guestPolicy),
        upstreams: upstreams.map(({ address, port }) => `${address}:${port}`),
        vmPools: [...world.vmPools],
        hostAddresses: [...world.hostAddresses],
      },
      { timeoutMs: CALL_DEADLINE_MS },
    );
    return connectionsClosed;
  }

  /** Batches of leases that guests wait for, until the gate ends or somebody else asks for them. */
  watchLeases(): AsyncIterable<LeaseBatch> {
    return this.#client.watchLeases({});
  }

  /** Says that a batch is in force, but for the leases at these indexes. */
  async ackLeases(id: bigint, refused: readonly number[]): Promise<void> {
    await this.#client.ackLeases({ id, refused: [...refused] }, { timeoutMs: CALL_DEADLINE_MS });
  }

  /** Has names resolved again for a VM; what is found comes as leases. */
  async renew(vmId: string, names: readonly string[]): Promise<void> {
    await this.#client.renew({ vmId, names: [...names] }, { timeoutMs: RENEW_DEADLINE_MS });
  }

  /** What the gate decides, from now on, with the last of what nobody has watched. */
  watchDecisions(): AsyncIterable<DecisionBatch> {
    return this.#client.watchDecisions({});
  }

  /** What a VM has open through the proxy. */
  async connections(vmId: string): Promise<readonly Connection[]> {
    const answer = await this.#client.listConnections({ vmId }, { timeoutMs: CALL_DEADLINE_MS });
    return answer.connections;
  }

  /** How many proxied connections a policy would end that is not in force. */
  async wouldEnd(guest: GuestView, world: Surroundings): Promise<number> {
    const { ended } = await this.#client.judgeConnections(
      {
        guest: guestPolicy(guest),
        vmPools: [...world.vmPools],
        hostAddresses: [...world.hostAddresses],
      },
      { timeoutMs: CALL_DEADLINE_MS },
    );
    return ended;
  }

  /** Resolves when it has ended, whoever ended it. */
  async ended(): Promise<void> {
    await waitUntilGone(this.process, { everyMs: WATCH_EVERY_MS, background: true });
  }

  /** Ends it and waits until its sockets are free. It holds only memory: nothing is lost. */
  async stop(): Promise<void> {
    killProcess(this.process);
    if (!(await waitUntilGone(this.process, { deadlineMs: STOP_DEADLINE_MS }))) {
      throw new Failure('timeout', `vmsan-gate (pid ${this.process.pid}) does not end`);
    }
  }
}

/**
 * Queries that wait for the gate, of all VMs: some thousand, as small ones take
 * about 1 KiB of it each. By default a few hundred fit, less than one VM may
 * send at a stretch, and another's would be lost.
 */
const QUERY_BYTES = 8 * 1024 ** 2;

/** Bytes that the gate's log may have when a gate starts: a longer one is put aside. */
const LOG_BYTES = 1024 * 1024;

function openLog(file: string): number {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) {
    renameSync(file, `${file}.1`);
  }
  return openSync(file, 'a', 0o600);
}

/**
 * A gate that reaches one of these ends and is started anew: names close for a
 * moment, and nobody else has less. Its log is all that it writes. Threads are
 * those of all gates: hosts that share a kernel, as labs do, use the same user id.
 */
const RLIMITS: Rlimits = {
  core: 0,
  data: 2 * 1024 ** 3,
  fsize: 16 * LOG_BYTES,
  memlock: 64 * 1024,
  msgqueue: 0,
  nproc: 1024,
};

function guestPolicy({ guestIp, vmId, policy, generation }: GuestView) {
  return {
    guestIp,
    vmId,
    generation,
    policy: policy.base,
    resolves: resolvesNames(policy),
    defaultVerdict: policy.default,
    allowedCidrs: [...policy.allowed],
    deniedCidrs: [...policy.denied],
    openedCidrs: [...policy.opened],
    allowedDomains: [...policy.domains],
  };
}

/** No capability, no way to gain one, nobody's uid. */
function gateArgv(uid: number, program: string): string[] {
  return [
    ...prlimitArgv(RLIMITS),
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    '--no-new-privs',
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--',
    process.execPath,
    program,
  ];
}

/** The gate's program where its uid can read it: a tree below /root is out of its reach. */
function readableProgram(runDir: string): string {
  const copy = join(runDir, 'gate.mjs');
  copyFileSync(fileURLToPath(gateProgram()), copy);
  chmodSync(copy, 0o644);
  return copy;
}

function readyLine(pipe: Socket, logFile: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      pipe.destroy();
      reject(new Failure('unavailable', `vmsan-gate ${why}: ${tail(logFile)}`));
    };
    const timer = setTimeout(
      () => fail(`was not ready in ${START_DEADLINE_MS} ms`),
      START_DEADLINE_MS,
    );
    pipe.once('data', () => {
      clearTimeout(timer);
      pipe.destroy();
      resolve();
    });
    pipe.once('end', () => {
      clearTimeout(timer);
      fail('ended before it was ready');
    });
  });
}

function tail(logFile: string): string {
  try {
    return readFileSync(logFile, 'utf8').trim().slice(-500) || 'it said nothing';
  } catch (error) {
    return messageOf(error);
  }
}

function socketOf(runDir: string): string {
  return join(runDir, 'gate.sock');
}

function clientOf(runDir: string): Client<typeof GateService> {
  const transport = createConnectTransport({
    httpVersion: '1.1',
    baseUrl: 'http://gate',
    nodeOptions: { socketPath: socketOf(runDir) },
    // A batch of leases would be packed and unpacked on the way of every answer.
    acceptCompression: [],
  });
  return createClient(GateService, transport);
}
