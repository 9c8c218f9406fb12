import { isErrno } from '../host/failure.ts';
import { ipJson } from '../host/ip.ts';
import { readSysctl } from '../host/sysctl.ts';
import { vmOfLink } from './plan.ts';

/** Where the host's packets leave: routes of every table, and what the kernel asks of their replies. */

interface Route {
  dst: string;
  dev?: string;
  /** Of a route with several. */
  nexthops?: { dev?: string }[];
  type?: string;
}

/** Interfaces that a route points out of, and which of them lead to everywhere. */
export interface Uplinks {
  /** Ours and loopback left out. */
  links: string[];
  /** Those that a default route has, or the two halves of one. */
  everywhere: string[];
  /** Of these those by halves: they win over a default route, as VPNs want it. */
  byHalves: string[];
}

const HALVES = new Set(['0.0.0.0/1', '128.0.0.0/1']);
const EVERYWHERE = new Set(['default', '0.0.0.0/0', ...HALVES]);

/** As the routes of all tables are now. */
export async function uplinksNow(): Promise<Uplinks> {
  const routes = await ipJson<Route>(undefined, ['-4', 'route', 'show', 'table', 'all']);
  const everywhere = routes.filter(({ dst, type }) => EVERYWHERE.has(dst) && type === undefined);
  const halves = everywhere.filter(({ dst }) => HALVES.has(dst));
  return {
    links: linksOf(routes),
    everywhere: linksOf(everywhere),
    byHalves: linksOf(halves),
  };
}

function linksOf(routes: readonly Route[]): string[] {
  const links = routes.flatMap(({ dev, nexthops = [] }) => [
    dev,
    ...nexthops.map((hop) => hop.dev),
  ]);
  return [...new Set(links.filter((link) => link !== undefined))].filter(
    (link) => link !== 'lo' && vmOfLink(link) === null,
  );
}

/** Whether an interface forwards what comes in; undefined when there is no such interface any more. */
export function readForwarding(link: string): string | undefined {
  return readOf(link, 'forwarding');
}

/** Whether only what would be answered by the same interface may come in by it (ip-sysctl.rst, rp_filter). */
export function isStrict(link: string): boolean {
  const [all, own] = ['all', link].map((name) => Number(readOf(name, 'rp_filter') ?? 0));
  return Math.max(all!, own!) === 1;
}

function readOf(link: string, setting: string): string | undefined {
  try {
    return readSysctl(`net/ipv4/conf/${link}/${setting}`);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL')) return undefined;
    throw error;
  }
}

/** The interface by which the host sends to an address; undefined when it cannot. */
export async function linkTo(address: string): Promise<string | undefined> {
  try {
    return (await ipJson<Route>(undefined, ['-4', 'route', 'get', address]))[0]?.dev;
  } catch {
    return undefined;
  }
}

/** The tables that routing rules choose beside the kernel's own three: those of VPNs and of several uplinks. */
export async function tablesByRule(): Promise<string[]> {
  const rules = await ipJson<{ table?: string }>(undefined, ['-4', 'rule', 'show']);
  const tables = rules.flatMap(({ table }) => (table === undefined ? [] : [table]));
  return [...new Set(tables)].filter((table) => !['local', 'main', 'default'].includes(table));
}
