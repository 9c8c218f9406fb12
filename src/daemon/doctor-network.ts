import { messageOf } from '../host/failure.ts';
import { examineFirewalls, type Finding } from '../net/firewall/firewall.ts';
import { findingWords, ownerOf, remedyFor } from '../net/firewall/words.ts';
import { slotCount } from '../net/plan.ts';
import { routedNetworks } from '../net/routes.ts';
import { isStrict, linkTo, readForwarding, tablesByRule, uplinksNow } from '../net/uplinks.ts';
import { contains } from '../policy/cidr.ts';
import { networkOf, type Context } from './context.ts';
import { check, failed, note, ok, type Check, type Found } from './doctor-check.ts';
import { isSlotRouted } from './slots.ts';
import { upstreamsOf } from './upstreams.ts';

/** Looks at what else of this host has a say in VMs' traffic. Changes nothing. */
export async function examineNetwork(context: Context): Promise<Check[]> {
  const checks = await Promise.all([
    check('resolvers', () => resolvers(context)),
    check('networks', () => networks(context)),
    check('uplinks', () => uplinks(context)),
    check('routing rules', () => routing(context)),
    check('reverse paths', () => reversePaths()),
  ]);
  return [...checks, ...(await firewalls(context))];
}

/** One check for each firewall that refuses something. */
async function firewalls(context: Context): Promise<Check[]> {
  let findings: Finding[];
  try {
    findings = await examineFirewalls(context.host);
  } catch (error) {
    return [{ name: 'firewalls', ...failed(messageOf(error), 'nft list ruleset') }];
  }
  if (findings.length === 0) {
    return [{ name: 'firewalls', ...ok('no other table refuses VMs’ packets') }];
  }
  const byOwner = Map.groupBy(findings, ({ table }) => ownerOf(table));
  return [...byOwner].map(([owner, some]) => ({
    name: `firewall: ${owner}`,
    ...firewall(context, some),
  }));
}

function firewall(context: Context, findings: readonly Finding[]): Found {
  const detail = findings.map(findingWords).join('; ');
  const refused = findings.filter(({ passed }) => !passed);
  if (refused.length === 0) return ok(detail);
  const remedies = [...new Set(refused.map((finding) => remedyFor(finding)))].join(' && ');
  const isByHand = refused.some(({ judgement }) => judgement.verdict === 'confined');
  if (isByHand) return note(detail, `to let it out all the same: ${remedies}`);
  return context.live.size === 0
    ? note(detail, `vmsan does it while there are VMs; by hand: ${remedies}`)
    : failed(detail, remedies);
}

function resolvers({ settings }: Context): Found {
  const addresses = upstreamsOf(settings.dns).map(({ address }) => address);
  if (addresses.length === 0) {
    return note(
      'this host names no IPv4 resolver, so names do not resolve in VMs',
      'set VMSAN_DNS',
    );
  }
  const words = addresses.map((address) => {
    if (address === '127.0.0.53') return `${address} (systemd-resolved’s stub)`;
    return address.startsWith('127.') ? `${address} (on this host)` : address;
  });
  const source = settings.dns.length > 0 ? 'of VMSAN_DNS' : 'of /etc/resolv.conf, followed';
  return ok(`${words.join(', ')}, ${source}`);
}

async function networks(context: Context): Promise<Found> {
  const { settings, host, store } = context;
  const routes = await routedNetworks();
  const own = `${host.gateIp}/32`;
  // Who routes more than the pool, as VPNs do, loses nothing by one address of it.
  const gate = routes.find(
    (route) => route !== own && contains(settings.transitPool, route) && contains(route, own),
  );
  if (gate !== undefined) {
    return failed(
      `the host routes ${gate}, which has the address of the guests' resolver, ${host.gateIp}`,
      'set VMSAN_TRANSIT_POOL to a network that the host does not route',
    );
  }
  const taken = new Set(store.vms().map(({ slot }) => slot));
  const ahead = new Set(context.sharedNetwork.slotsAhead());
  const all = Array.from({ length: slotCount(settings) }, (_, slot) => slot);
  const skipped = all.filter(
    (slot) => !taken.has(slot) && !ahead.has(slot) && isSlotRouted(settings, slot, routes),
  );
  const use = `${taken.size} of ${all.length} of ${settings.subnetPool} in use`;
  if (skipped.length === 0) return ok(use);
  const detail = `${use}, ${skipped.length} skipped: the host routes them elsewhere`;
  return skipped.length + taken.size < all.length
    ? ok(detail)
    : failed(detail, 'set VMSAN_SUBNET_POOL to a network that the host does not route');
}

async function uplinks({ live }: Context): Promise<Found> {
  const { links, everywhere, byHalves } = await uplinksNow();
  if (everywhere.length === 0) {
    return note('no default route: VMs reach what the host reaches', 'ip route show table all');
  }
  const several = everywhere.length > 1 ? '; VMs’ packets take the one that the host’s would' : '';
  const named = everywhere.map((link) =>
    byHalves.includes(link) ? `${link} (takes all, as a VPN does)` : link,
  );
  const detail = `${named.join(', ')}${several}`;
  const off = live.size === 0 ? [] : links.filter((link) => readForwarding(link) === '0');
  return off.length === 0
    ? ok(detail)
    : failed(`${detail}; replies by ${off.join(', ')} are not forwarded`, remedyOf(off));
}

function remedyOf(links: readonly string[]): string {
  return links.map((link) => `sysctl -w net.ipv4.conf.${link}.forwarding=1`).join(' && ');
}

/** A rule that some VPNs set before the main table takes what goes to VMs too. */
async function routing(context: Context): Promise<Found> {
  const networks = context.store
    .vms()
    .filter(({ id }) => context.live.has(id))
    .map((vm) => networkOf(context, vm));
  for (const { guestIp, hostLink } of networks) {
    const link = await linkTo(guestIp);
    if (link === hostLink) continue;
    const pool = context.settings.subnetPool;
    return failed(
      `what goes to ${hostLink} (${guestIp}) leaves by ${link ?? 'no link'}`,
      `ip rule add to ${pool} lookup main priority 1`,
    );
  }
  const tables = await tablesByRule();
  const others = tables.length === 0 ? '' : `; rules choose the tables ${tables.join(', ')} too`;
  const vms = networks.length === 0 ? 'no VM runs' : 'each running VM by its own link';
  return ok(`${vms}${others}`);
}

/** A strict check of reverse paths drops replies that come in by another link than the host would take. */
async function reversePaths(): Promise<Found> {
  const { everywhere } = await uplinksNow();
  const strict = everywhere.filter(isStrict);
  if (strict.length === 0) return ok('not checked strictly');
  const detail = `strict (rp_filter=1) on ${strict.join(', ')}`;
  if (everywhere.length === 1) return ok(`${detail}, the only way out`);
  const remedy = strict.map((link) => `sysctl -w net.ipv4.conf.${link}.rp_filter=2`);
  return note(
    `${detail}: with several ways out, a reply by another one than the request's is dropped`,
    remedy.join(' && '),
  );
}
