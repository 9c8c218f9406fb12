import { createServer as createHttp2Server } from 'node:http2';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { AgentService } from '../../gen/vmsan/v1/agent_pb.js';

export interface GoodAgent extends AsyncDisposable {
  /** Its unix socket. */
  path: string;
}

/** An agent that keeps the rules, in this process. What it cannot do it says. */
export async function goodAgent(
  service: Partial<ServiceImpl<typeof AgentService>> = { configure: () => ({}) },
): Promise<GoodAgent> {
  const directory = mkdtempSync(join(tmpdir(), 'vmsan-agent-'));
  const path = join(directory, 'agent.sock');
  const http2 = createHttp2Server(
    connectNodeAdapter({ routes: (router) => void router.service(AgentService, service) }),
  );
  const hosts = new Set<Socket>();
  const server = createServer((host) => {
    hosts.add(host);
    host.on('error', () => {});
    host.on('close', () => hosts.delete(host));
    host.once('data', (hello: Buffer) => {
      host.pause();
      host.write(hello);
      http2.emit('connection', host);
    });
  }).listen(path);
  await once(server, 'listening');
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const host of hosts) host.destroy();
      server.close();
      await once(server, 'close');
      rmSync(directory, { recursive: true });
    },
  };
}
