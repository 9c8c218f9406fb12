import type { HostListener, Lab, Mark } from '../lab.ts';
import * as world from '../world.ts';

/** One destination, tried from inside the VM, and what the policy promises about it. */
export interface Probe {
  /** In the table: what is tried. */
  what: string;
  /** Run in the guest. */
  argv: readonly string[];
  promised: 'reached' | 'denied';
  /** Where its packets would go: the evidence is what came there. */
  target: string;
  /** In the guest's output when it got through. */
  proof: RegExp;
  /** In the guest's output when it was denied, where the promise is more than "no answer". */
  reason?: RegExp;
}

export interface Outcome {
  policy: string;
  what: string;
  /** As typed. */
  command: string;
  promised: 'reached' | 'denied';
  /** What the VM saw, and what came to the other end, in words. */
  guest: string;
  internet: string;
  asPromised: boolean;
  /** Of a change: milliseconds until the kernel enforced it, from the receipt. */
  effectiveMs?: number;
}

export const HOST_PORT = 8080;

const curl = (url: string) => ['curl', '-sS', '--max-time', '4', url];
const dig = (name: string) => ['dig', '+tries=1', '+time=15', name];
const ping = (address: string) => ['ping', '-c', '1', '-W', '2', address];

const byName: Omit<Probe, 'promised'> = {
  what: 'a web site, by name',
  argv: curl(`http://${world.website.name}/`),
  target: world.website.address,
  proof: /"server":"http"/,
};
const byAddress: Omit<Probe, 'promised'> = {
  what: 'a web server, by address',
  argv: curl(`http://${world.shared.address}/`),
  target: world.shared.address,
  proof: /"server":"http"/,
};
const looked = ({ name, address }: { name: string; address: string }) => ({
  what: 'a DNS name',
  argv: dig(name),
  target: world.resolver.address,
  proof: new RegExp(`\\s${address.replaceAll('.', '\\.')}$`, 'm'),
});
const lookUp: Omit<Probe, 'promised'> = looked(world.npm);
const pinged: Omit<Probe, 'promised'> = {
  what: 'ping',
  argv: ping(world.shared.address),
  target: world.shared.address,
  proof: /\b1 received\b/,
};
const metadata: Omit<Probe, 'promised'> = {
  what: "the cloud's metadata service",
  argv: curl(`http://${world.metadata.address}/`),
  target: world.metadata.address,
  proof: /"server":"http"/,
};
const otherResolver: Omit<Probe, 'promised'> = {
  what: "DNS past vmsan's resolver",
  argv: dig(world.npm.name).concat(`@${world.otherResolver.address}`),
  target: world.otherResolver.address,
  proof: lookUp.proof,
};
const theHost: Omit<Probe, 'promised'> = {
  what: 'a service of the host',
  argv: curl(`http://${world.host.address}:${HOST_PORT}/`),
  target: world.host.address,
  proof: /"server":"http"/,
};

export const underAllowAll: readonly Probe[] = [
  { ...lookUp, promised: 'reached' },
  { ...byName, promised: 'reached' },
  { ...byAddress, promised: 'reached' },
  { ...pinged, promised: 'reached' },
  { ...metadata, promised: 'denied' },
  { ...theHost, promised: 'denied' },
];

export const underDenyAll: readonly Probe[] = [
  { ...lookUp, promised: 'denied', reason: /status: REFUSED[\s\S]*\bEDE: \d+/ },
  { ...byName, promised: 'denied' },
  { ...byAddress, promised: 'denied' },
  { ...pinged, promised: 'denied' },
  { ...otherResolver, promised: 'denied' },
];

/** Another name than before: that one's answer is still in vmsan's cache. */
export const underAllowAllAgain: readonly Probe[] = [
  { ...looked(world.npmPackages), promised: 'reached' },
  { ...byName, promised: 'reached' },
];

/** Tries one destination in the VM `vm`, and compares what both ends saw with the promise. */
export async function tryProbe(
  lab: Lab,
  vm: string,
  policy: string,
  probe: Probe,
  listener: HostListener,
): Promise<Outcome> {
  const mark = await lab.mark();
  const heardBefore = (await listener.log()).length;
  const { stdout, stderr } = await lab.vmsan(['exec', vm, ...probe.argv]);
  const through = probe.proof.test(stdout);
  const arrived =
    probe.target === world.host.address
      ? countOf((await listener.log()).length - heardBefore, 'contact')
      : await evidence(lab, probe.target, mark);
  const asPromised =
    probe.promised === 'reached'
      ? through && arrived !== NOTHING
      : !through && arrived === NOTHING && (probe.reason?.test(stdout) ?? true);
  return {
    policy,
    what: probe.what,
    command: `vmsan exec ${vm} ${probe.argv.join(' ')}`,
    promised: probe.promised,
    guest: through ? 'an answer' : words(stdout, stderr),
    internet: arrived,
    asPromised,
  };
}

export const NOTHING = 'nothing';

/** What came for `address` since `mark`, in words. */
export async function evidence(lab: Lab, address: string, mark: Mark): Promise<string> {
  const packets = await lab.packetsTo(address, { since: mark });
  const contacts = (await lab.log(mark)).filter(
    (contact) =>
      contact.address === address && (contact.event === 'request' || contact.event === 'query'),
  );
  if (contacts.length === 0) return countOf(packets, 'packet');
  const [first] = contacts;
  return `${countOf(contacts.length, first!.event)}, ${countOf(packets, 'packet')}`;
}

/** Under deny-all: that not one packet, to any address but `except`, came out of the host since `mark`. */
export async function countedSince(lab: Lab, mark: Mark, except: string): Promise<Outcome> {
  const arrivals = (await lab.arrivals(mark)).filter(
    ({ address, port }) => port === undefined && address !== except,
  );
  const packets = arrivals.reduce((sum, one) => sum + one.packets, 0);
  return {
    policy: 'deny-all',
    what: 'anything at all',
    command: '(all of these together, counted where they would arrive)',
    promised: 'denied',
    guest: '',
    internet: countOf(packets, 'packet'),
    asPromised: packets === 0,
  };
}

function countOf(count: number, noun: string): string {
  if (count === 0) return NOTHING;
  return `${count} ${count === 1 ? noun : noun.replace(/y$/, 'ie').concat('s')}`;
}

/** The line of a failed command that says why, short enough for a table. */
function words(stdout: string, stderr: string): string {
  const status = /status: (\w+)/.exec(stdout)?.[1];
  const reason = /\bEDE: (\d+ \([^)]*\))/.exec(stdout)?.[1];
  if (status !== undefined) return reason === undefined ? status : `${status}, EDE ${reason}`;
  const said = `${stderr}\n${stdout}`.split('\n').map((line) => line.trim());
  const why = /^curl:|packet loss|no servers could be reached|timed out/;
  const line = said.find((one) => why.test(one)) ?? said.find((one) => one !== '') ?? 'no answer';
  return line
    .replace(/^curl: \(\d+\) /, '')
    .replace(/^(Could not resolve host).*/, '$1')
    .replace(/^Failed to connect to .*/, 'no connection')
    .replace(/^\d+ packets transmitted, 0 received.*/, 'no reply')
    .replace(
      /^;; (communications error|no servers could be reached|connection timed out).*/,
      'no answer',
    );
}
