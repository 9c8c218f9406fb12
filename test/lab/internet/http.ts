import { once } from 'node:events';
import { createServer as createHttp, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { endsOf, type Contact, type Journal } from './journal.ts';

const DRIP_MS = 50;

/** Serves HTTP on every address. */
export async function serveHttp(port: number, journal: Journal): Promise<void> {
  const server = createHttp(respond('http', journal));
  server.on('connection', (socket: Socket) => void journal.connection('http', socket));
  server.listen(port, '::');
  await once(server, 'listening');
}

/** Serves HTTPS on every address, with one certificate for all names. */
export async function serveHttps(
  port: number,
  certificate: { key: string; cert: string },
  journal: Journal,
): Promise<void> {
  const server = createHttps(certificate, respond('https', journal));
  server.on('connection', (socket: Socket) => void journal.connection('https', socket));
  const hello = (socket: TLSSocket, error?: Error) => {
    journal.write({
      server: 'https',
      protocol: 'tcp',
      event: 'hello',
      ...endsOf(socket),
      sni: typeof socket.servername === 'string' ? socket.servername : '',
      ...(error === undefined ? {} : { error: error.message }),
    });
  };
  server.on('secureConnection', (socket) => hello(socket));
  server.on('tlsClientError', (error, socket) => hello(socket, error));
  server.listen(port, '::');
  await once(server, 'listening');
}

/**
 * - `/bytes/N`: N bytes
 * - `/drip`: a line every 50 ms until the client goes, to see a flow being cut
 * - anything else: what was asked, and by whom, as JSON
 */
function respond(server: Contact['server'], journal: Journal): RequestListener {
  return (request, response) => {
    const path = request.url ?? '/';
    const ends = endsOf(request.socket);
    const asked = { method: request.method ?? '', host: request.headers.host ?? '', path };
    journal.write({ server, protocol: 'tcp', event: 'request', ...ends, ...asked });
    request.resume();

    const bytes = /^\/bytes\/(\d+)$/.exec(path);
    if (bytes !== null) {
      response.end(Buffer.alloc(Number(bytes[1]), 'x'));
    } else if (path === '/drip') {
      drip(response);
    } else {
      response.setHeader('content-type', 'application/json');
      response.end(`${JSON.stringify({ server, ...asked, client: ends.from })}\n`);
    }
  };
}

function drip(response: ServerResponse): void {
  let count = 0;
  const timer = setInterval(() => response.write(`drip ${(count += 1)}\n`), DRIP_MS);
  response.write('drip 0\n');
  response.on('close', () => clearInterval(timer));
}
