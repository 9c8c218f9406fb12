/**
 * Runs in a wired guest: tries each destination of argv[2] (JSON) at once and
 * prints how each went, in the same order. `answered`: the other end spoke;
 * `refused`: somebody said no; `silent`: nobody did anything.
 */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

export interface Probe {
  destination: string;
  protocol: 'tcp' | 'udp' | 'icmp';
  port?: number;
}
export type Outcome = 'answered' | 'refused' | 'silent';

const DEADLINE_MS = 10_000;

function attempt({ destination, protocol, port = 0 }: Probe): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const timer = setTimeout(() => resolve('silent'), DEADLINE_MS);
  void promise.then(() => clearTimeout(timer));
  if (protocol === 'tcp') {
    const socket = connect(port, destination);
    socket.once('connect', () => resolve('answered')).once('error', () => resolve('refused'));
    void promise.then(() => socket.destroy());
  } else if (protocol === 'udp') {
    const socket = createSocket('udp4');
    socket.once('message', () => resolve('answered')).once('error', () => resolve('refused'));
    socket.connect(port, destination, () => socket.send('hello', () => {}));
    void promise.then(() => socket.close());
  } else {
    execFile('ping', ['-c1', `-W${DEADLINE_MS / 1000}`, destination], (error, stdout) => {
      const no = /Packet filtered|Unreachable|Prohibited/.test(stdout);
      resolve(error === null ? 'answered' : no ? 'refused' : 'silent');
    });
  }
  return promise;
}

const probes = process.argv[2];
if (import.meta.main && probes !== undefined) {
  const outcomes = await Promise.all((JSON.parse(probes) as Probe[]).map(attempt));
  process.stdout.write(JSON.stringify(outcomes));
  process.exit();
}
