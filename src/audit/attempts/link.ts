import { TYPE } from '../../dns/message.ts';
import type { Attempt, Trial } from '../attempt.ts';
import { ETHER, ethernet, ipv4, mac, octets, udp } from '../frames.ts';
import { escaped, held, stays, unjudged } from '../judges.ts';
import { newToken, type Kit } from '../kit.ts';
import { question } from '../question.ts';
import { strangeAddress } from '../site.ts';

const WHY = 'a frame is the guest’s own, or it is not there';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** Locally administered, and nobody's. */
const STRANGE_MAC = '02:00:00:00:00:01';

/** What a guest does on its wire. All of it goes to its own gateway, which is open under every policy. */
export function linkAttempts(kit: Kit): Attempt[] {
  return [
    { name: 'spoofed source address', expected: WHY, trials: sources(kit) },
    { name: 'spoofed MAC address', expected: WHY, trials: [strangeMac(kit)] },
    { name: 'VLAN tags', expected: WHY, trials: vlans(kit) },
    { name: 'IPv6', expected: 'guests have no IPv6', trials: ipv6(kit) },
    { name: 'ARP in another’s name', expected: WHY, trials: [strangeArp(kit)] },
    { name: 'other kinds of frames', expected: WHY, trials: ethertypes(kit) },
  ];
}

function sources(kit: Kit): Trial[] {
  const { vm, neighbours, world } = kit.site;
  const claimed = [
    neighbours[0]?.guestIp ?? vm.transitVmIp,
    vm.gatewayIp,
    strangeAddress(kit.site),
    '127.0.0.1',
    ...world.hostAddresses.filter((address) => !address.startsWith('127.')).slice(0, 1),
  ];
  return claimed.map((source) =>
    stays(`from ${source}`, kit.udp(vm.gatewayIp, 53, { source, payload: ownQuery() })),
  );
}

function strangeMac(kit: Kit): Trial {
  const { vm } = kit.site;
  return stays(
    `from ${STRANGE_MAC}`,
    kit.frame((token) => ethernet(vm.gatewayMac, STRANGE_MAC, ETHER.IPV4, toGateway(kit, token))),
  );
}

function vlans(kit: Kit): Trial[] {
  const { vm } = kit.site;
  const tagged = (type: number, tags: string) =>
    kit.frame((token) =>
      ethernet(
        vm.gatewayMac,
        vm.guestMac,
        type,
        Buffer.concat([Buffer.from(`${tags}0800`, 'hex'), toGateway(kit, token)]),
      ),
    );
  return [
    stays('802.1Q', tagged(0x8100, '0005')),
    stays('802.1Q, priority only', tagged(0x8100, '0000')),
    stays('802.1ad', tagged(0x88a8, '00058100000a')),
  ];
}

/** RFC 8200, RFC 4443, RFC 4861. */
function ipv6(kit: Kit): Trial[] {
  const { vm } = kit.site;
  const packet = (next: number, destination: string, body: Buffer) => {
    const head = Buffer.from('6000000000000040', 'hex');
    head.writeUInt16BE(body.length, 4);
    head.writeUInt8(next, 6);
    const source = Buffer.from('fe80000000000000007666fffe000002', 'hex');
    return Buffer.concat([head, source, Buffer.from(destination, 'hex'), body]);
  };
  const send = (next: number, destination: string, start: string) =>
    kit.frame((token) =>
      ethernet(
        destination.startsWith('ff02') ? '33:33:00:00:00:01' : vm.gatewayMac,
        vm.guestMac,
        ETHER.IPV6,
        packet(next, destination, Buffer.concat([Buffer.from(start, 'hex'), token])),
      ),
    );
  const shots = [
    send(58, 'ff020000000000000000000000000001', '8000000000010001'),
    send(58, 'ff020000000000000000000000000002', '8500000000000000'),
    send(17, '20010db8000000000000000000000001', 'f000003500200000'),
  ];
  return [
    ...['echo request to all', 'router solicitation', 'UDP'].map((what, at) =>
      stays(what, shots[at]!),
    ),
    {
      what: 'an answer',
      judge: (evidence) =>
        evidence.receivedOfType(ETHER.IPV6)
          ? escaped('the guest got an IPv6 packet')
          : held('nothing of it left'),
    },
  ];
}

/** RFC 826. The gateway answers the guest's own, which shows that it answers at all. */
function strangeArp(kit: Kit): Trial {
  const { vm } = kit.site;
  const claimed = strangeAddress(kit.site);
  const request = (sender: string) =>
    ethernet(
      BROADCAST,
      vm.guestMac,
      ETHER.ARP,
      Buffer.concat([
        Buffer.from('0001080006040001', 'hex'),
        mac(vm.guestMac),
        octets(sender),
        Buffer.alloc(6),
        octets(vm.gatewayIp),
      ]),
    );
  kit.frames.push(request(claimed), request(vm.guestIp));
  return {
    what: `as ${claimed}`,
    judge(evidence) {
      if (evidence.resolvedFor(octets(claimed))) return escaped('the gateway answered it');
      if (evidence.resolvedFor(octets(vm.guestIp))) return held('only its own is answered');
      return unjudged('the gateway answers no ARP at all');
    },
  };
}

function ethertypes(kit: Kit): Trial[] {
  const { vm } = kit.site;
  const kinds: [string, number][] = [
    ['LLDP', 0x88cc],
    ['PPPoE', 0x8863],
    ['EAPOL', 0x888e],
    ['experimental', 0x88b5],
  ];
  return kinds.map(([what, type]) =>
    stays(
      what,
      kit.frame((token) => ethernet(vm.gatewayMac, vm.guestMac, type, token)),
    ),
  );
}

function toGateway(kit: Kit, token: Buffer): Buffer {
  const { guestIp, gatewayIp } = kit.site.vm;
  const payload = Buffer.concat([ownQuery(), token]);
  return ipv4(guestIp, gatewayIp, udp({ from: kit.port(), to: 53 }, payload));
}

/** For AAAA records there is an answer without asking anybody. */
function ownQuery(): Buffer {
  return question('vmsan-audit.invalid', TYPE.AAAA);
}

/** The guest's own query: that it is seen shows that everything before it would be. */
export function control(kit: Kit): Buffer {
  const token = newToken();
  kit.frames.push(kit.own(toGateway(kit, token)));
  return token;
}
