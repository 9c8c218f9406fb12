/**
 * Runs anywhere in the lab: asks each of argv[2] (JSON) at once and prints, in
 * the same order, the first line that came back, `refused`, or `silent`.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

export interface Question {
  address: string;
  port: number;
  /** Default: tcp. */
  protocol?: 'tcp' | 'udp';
  /** The port that it comes from; any by default. */
  from?: number;
}

const DEADLINE_MS = 2_000;
const REFUSALS = new Set(['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH']);

function ask({ address, port, protocol = 'tcp', from }: Question): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve('silent'), DEADLINE_MS);
  void promise.then(() => clearTimeout(timer));
  const answer = (bytes: Buffer) => resolve(String(bytes).split('\n')[0] ?? '');
  // Whatever a refusal is told by: a reset, a port that nobody has, an administrator's no.
  const refused = (error?: NodeJS.ErrnoException) => {
    const code = error?.code ?? 'ECONNRESET';
    resolve(REFUSALS.has(code) ? 'refused' : code);
  };
  if (protocol === 'tcp') {
    const local = from === undefined ? {} : { localPort: from };
    const socket = connect({ host: address, port, ...local });
    socket.once('data', answer).once('error', refused).once('end', refused);
    void promise.then(() => socket.destroy());
  } else {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.once('message', answer).once('error', refused);
    socket.bind(from ?? 0, () =>
      socket.connect(port, address, () => socket.send('hello', () => {})),
    );
    void promise.then(() => socket.close());
  }
  return promise;
}

const questions = process.argv[2];
if (import.meta.main && questions !== undefined) {
  const answers = await Promise.all((JSON.parse(questions) as Question[]).map(ask));
  process.stdout.write(JSON.stringify(answers));
  process.exit();
}
