import { settled, type Attempt, type Trial } from '../attempt.ts';
import { icmp, ipv4, TCP, tcp, udp } from '../frames.ts';
import { escaped, isOpen, otherTrial, packetTrial, stays } from '../judges.ts';
import { newToken, type Kit, type Shot } from '../kit.ts';
import { strangeAddress } from '../site.ts';

const METADATA = '169.254.169.254';
/** RFC 791: more fragments. */
const MORE = 0x2000;

/** Packets that rules for the usual ones may have overlooked. */
export function packetAttempts(kit: Kit): Attempt[] {
  const to = target(kit);
  return [
    { name: 'ICMP', expected: 'names open no ICMP, and no rule allows it', trials: pings(kit) },
    {
      name: 'odd protocols',
      expected: 'the same lists hold for every IP protocol',
      // IGMP, IP in IP, IPv6 in IP, GRE, ESP, SCTP, UDP-Lite, experimental (RFC 3692).
      trials: [2, 4, 41, 47, 50, 132, 136, 253].map((number) => otherTrial(kit, to, number)),
    },
    {
      name: 'fragments',
      expected: 'packets are put together before they are judged',
      trials: fragments(kit, to),
    },
    {
      name: 'stray segments',
      expected: 'what belongs to no flow is dropped, also where a flow could begin',
      trials: strays(kit),
    },
    {
      name: 'old flow after tightening',
      expected: 'a change of policy ends the flows that it forbids',
      trials: oldFlows(kit),
    },
  ];
}

/** Where no packet may go: a public address, or one that no guest reaches. */
function target(kit: Kit): string {
  const strange = strangeAddress(kit.site);
  return isOpen(kit.site, { destination: strange, protocol: 'other' }) ? METADATA : strange;
}

function pings(kit: Kit): Trial[] {
  const strange = strangeAddress(kit.site);
  const about = ipv4(kit.site.vm.guestIp, strange, udp({ from: 9, to: 9 }, Buffer.alloc(8)));
  const forged = kit.frame((token) => {
    // An error about a flow that never was (RFC 792).
    const body = Buffer.concat([Buffer.alloc(4), about, token]);
    const even = body.length % 2 === 0 ? body : Buffer.concat([body, Buffer.alloc(1)]);
    return kit.own(ipv4(kit.site.vm.guestIp, strange, icmp(3, 1, even)));
  });
  return [
    packetTrial(kit, { destination: strange, protocol: 'icmp' }),
    packetTrial(kit, { destination: METADATA, protocol: 'icmp' }),
    stays('an error about no flow', forged),
  ];
}

function fragments(kit: Kit, to: string): Trial[] {
  const from = kit.site.vm.guestIp;
  const cut = (bytes: Buffer, protocol: number, at: number): Shot => {
    const id = kit.id();
    const token = bytes.subarray(-8);
    const head = { protocol, bytes: bytes.subarray(0, at) };
    const tail = { protocol, bytes: bytes.subarray(at) };
    kit.frames.push(
      kit.own(ipv4(from, to, head, { id, fragment: MORE })),
      kit.own(ipv4(from, to, tail, { id, fragment: at / 8 })),
    );
    return { token, protocol: -1, destination: to, id, from: 0, to: 0 };
  };
  const datagram = () => udp({ from: kit.port(), to: 9 }, newToken()).bytes;
  const { bytes: syn } = tcp(from, to, { from: kit.port(), to: 22 }, { flags: TCP.SYN });
  const withOptions = Buffer.concat([syn, newToken()]);
  const alone = kit.frame((token) =>
    kit.own(ipv4(from, to, { protocol: 17, bytes: token }, { fragment: 64 })),
  );
  return [
    stays('UDP in two', cut(datagram(), 17, 16)),
    stays('a TCP header in two', cut(withOptions, 6, 8)),
    stays('an end without a beginning', alone),
  ];
}

function strays(kit: Kit): Trial[] {
  const { ACK, FIN, PSH, RST, SYN, URG } = TCP;
  const kinds: [string, number][] = [
    ['ACK', ACK],
    ['SYN+ACK', SYN | ACK],
    ['FIN', FIN | ACK],
    ['RST', RST],
    ['no flag', 0],
    ['FIN+PSH+URG', FIN | PSH | URG],
    ['SYN+FIN', SYN | FIN],
  ];
  const to = strangeAddress(kit.site);
  return kinds.map(([what, flags]) => stays(`${what} to ${to}:22`, kit.tcp(to, 22, flags)));
}

const MOST_FLOWS = 16;

/** Flows that a change forbade: each is given one more packet, and nothing of it may leave. */
function oldFlows(kit: Kit): Trial[] {
  const flows = kit.site.oldFlows.slice(0, MOST_FLOWS);
  if (flows.length === 0) {
    const need = 'none is open: tighten the policy while one is, and audit again';
    return [settled('not judged', need)];
  }
  return flows.map((flow) => {
    const what = `${flow.protocol.toUpperCase()} ${flow.destination}:${flow.to}`;
    const trial = stays(what, kit.inFlow(flow));
    return {
      what,
      judge: (evidence) =>
        evidence.flowed(flow) ? escaped('it goes on as before') : trial.judge(evidence),
    };
  });
}
