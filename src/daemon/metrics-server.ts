import { createServer, type Server } from 'node:http';
import { METRICS_TYPE, renderMetrics } from '../api/metrics.ts';
import { Failure } from '../host/failure.ts';
import type { Context } from './context.ts';
import { usageOfAll } from './usage.ts';

/** A scraper needs one; a stuck one must not be the last. */
const CONNECTIONS = 16;

/**
 * Serves `GET /metrics` on the loopback address that the setting names, if it does.
 * @throws Failure `unavailable` when nobody can listen there
 */
export function serveMetrics(context: Context): Promise<Server | null> {
  const { metrics } = context.settings;
  if (metrics === '') return Promise.resolve(null);
  const [host, port] = metrics.split(':');
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (request.url !== '/metrics' || request.method !== 'GET') {
      response.writeHead(404).end();
      return;
    }
    usageOfAll(context, context.store.vms()).then(
      (vms) => response.setHeader('content-type', METRICS_TYPE).end(renderMetrics(vms)),
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new Failure('unavailable', `metrics cannot be served on ${metrics}`, {
          hint: 'name another port with VMSAN_METRICS',
          cause,
        }),
      );
    });
    server.listen({ host, port: Number(port) }, () => resolve(server));
  });
}
