import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ATTACKS, type AttackName } from './attacks.ts';
import { Wire } from './http2-wire.ts';

/** Instead of the echo: bytes without end. */
export const NO_ECHO = 'never echoes';

export interface HostileAgent extends AsyncDisposable {
  /** Its unix socket. */
  path: string;
  /** What it has seen so far. */
  seen(): Promise<Seen>;
}

export interface Seen {
  /** Hosts that have connected, and those that still are. */
  sessions: number;
  connected: number;
  /** Bytes that it has sent to the last one, or is about to. */
  sent: number;
}

/** An agent that its guest has replaced, in a process of its own: what it keeps is not ours. */
export async function hostileAgent(attack: AttackName | typeof NO_ECHO): Promise<HostileAgent> {
  const directory = mkdtempSync(join(tmpdir(), 'vmsan-hostile-'));
  const path = join(directory, 'agent.sock');
  const child = fork(import.meta.filename, [path, attack]);
  const ended = once(child, 'exit');
  await Promise.race([once(child, 'message'), ended]);
  return {
    path,
    async seen() {
      const answer = once(child, 'message');
      child.send('');
      return ((await answer) as [Seen])[0];
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      rmSync(directory, { recursive: true });
    },
  };
}

/** The process itself. */
function listen(path: string, attack: string): void {
  const seen = { sessions: 0, connected: 0 };
  let last: Socket | undefined;
  const server = createServer((host) => {
    seen.sessions += 1;
    seen.connected += 1;
    last = host;
    host.on('error', () => {});
    host.on('close', () => (seen.connected -= 1));
    host.once('data', (hello: Buffer) => {
      if (attack === NO_ECHO) {
        void new Wire(host).sendForEver(randomBytes(65_536));
        return;
      }
      host.write(hello);
      void ATTACKS[attack as AttackName](new Wire(host));
    });
  });
  server.listen(path, () => process.send!('ready'));
  process.on('message', () => process.send!({ ...seen, sent: last?.bytesWritten ?? 0 }));
  // Whoever started it has died.
  process.on('disconnect', () => process.exit());
}

if (import.meta.main) listen(process.argv[2]!, process.argv[3]!);
