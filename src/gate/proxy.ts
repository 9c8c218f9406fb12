import type { Lookup } from '../dns/lookup.ts';
import type { Report } from '../dns/resolver.ts';
import { serveHttp } from '../proxy/http.ts';
import { ProxySlots } from '../proxy/limits.ts';
import type { ProxyOptions } from '../proxy/options.ts';
import type { Connection } from '../proxy/server.ts';
import { serveTls } from '../proxy/tls.ts';
import type { Decisions } from './decisions.ts';
import type { Guest } from './guest.ts';
import { lookUpAddresses } from './names.ts';

export interface GateProxyOptions {
  /** The guest that `source` is as of now. */
  guestOf: (source: string) => Guest | undefined;
  lookup: Lookup;
  decisions: Pick<Decisions, 'record'>;
  report: Report;
}

export interface GateProxy {
  /** Where HTTP and TLS listen, "address:port". */
  readonly http: string;
  readonly tls: string;
  /** Ends the connections that the policy of now forbids. @returns how many */
  judgeAgain(): number;
  /** How many of a VM's connections would end, were this its guest. */
  wouldEnd(guest: Guest): number;
  /** What a VM has open. */
  connections(vmId: string): Connection[];
  close(): void;
}

/**
 * Serves guests' HTTP and TLS, by the policies of the newest snapshot.
 * @param fds inherited listening sockets, owned from here on
 */
export async function serveProxy(
  fds: { http: number; tls: number },
  { guestOf, lookup, decisions, report }: GateProxyOptions,
): Promise<GateProxy> {
  const slots = new ProxySlots();
  const options = (port: number): ProxyOptions<Guest> => ({
    port,
    guestOf,
    judge: (guest, { name }) => {
      const verdict = guest.judgeName({ name, port });
      return verdict.allow ? { ...verdict, reason: '' } : { ...verdict, rule: '' };
    },
    resolve: (_guest, name) => lookUpAddresses(lookup, name),
    judgeAddress: (guest, address) => {
      const { verdict, rule, reason } = guest.judgeAddress(address);
      return { allow: verdict === 'allow', rule, reason };
    },
    report,
    record: ({ vmId, ...decided }) => decisions.record(vmId, decided),
  });
  const http = await serveHttp(fds.http, options(80), { slots });
  const tls = await serveTls(fds.tls, options(443), { slots });
  return {
    http: http.address,
    tls: tls.address,
    judgeAgain: () => http.judgeAgain() + tls.judgeAgain(),
    wouldEnd: (guest) => http.wouldEnd(guest) + tls.wouldEnd(guest),
    connections: (vmId) => [...http.connections(vmId), ...tls.connections(vmId)],
    close: () => [http, tls].forEach((server) => server.close()),
  };
}
