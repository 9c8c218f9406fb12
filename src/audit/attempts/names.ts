import { randomBytes } from 'node:crypto';
import { TYPE } from '../../dns/message.ts';
import { settled, type Attempt, type Trial } from '../attempt.ts';
import {
  alertTrial,
  escaped,
  held,
  isOpen,
  judgeAnswer,
  judgeWay,
  packetTrial,
  pageTrial,
  queryTrial,
  unjudged,
} from '../judges.ts';
import type { Kit } from '../kit.ts';
import { question } from '../question.ts';
import { said, saidOfName, strangeAddress, strangeName, strangeResolver } from '../site.ts';
import { getPage, helloFor } from './words.ts';

/** Ways to learn of, or to tell, what no rule names. */
export function nameAttempts(kit: Kit): Attempt[] {
  const { policy } = kit.site;
  const names = 'only allowed names are looked up, by vmsan’s resolver alone';
  const wildcards = policy.domains.filter((rule) => rule.startsWith('*.'));
  return [
    { name: 'lookup of another name', expected: names, trials: lookups(kit) },
    { name: 'DNS tunnel by query', expected: names, trials: [tunnel(kit)] },
    {
      name: 'DNS tunnel below an allowed name',
      expected: 'whoever runs an allowed zone hears what is asked for in it',
      trials: [
        wildcards.length > 0
          ? settled('open', `by nature, below ${wildcards.join(', ')}`)
          : saidOfName(kit.site, 'vmsan-audit.invalid').allow
            ? settled('allowed', 'all names are')
            : settled('held', 'no rule has a wildcard: a query carries nothing of the guest’s'),
      ],
    },
    { name: 'foreign resolver, UDP', expected: names, trials: foreignUdp(kit) },
    { name: 'foreign resolver, TCP', expected: names, trials: [foreignTcp(kit)] },
    { name: 'DNS over TLS, over QUIC', expected: names, trials: hidden(kit, 'tcp 853', 'udp 853') },
    { name: 'QUIC', expected: 'its name is hidden', trials: hidden(kit, 'udp 443') },
    { name: 'DNS over HTTPS', expected: names, trials: dnsOverHttps(kit) },
    {
      name: 'rebinding',
      expected: 'a name allows public addresses only',
      trials: rebinding(kit),
    },
  ];
}

function lookups(kit: Kit): Trial[] {
  const name = strangeName(kit.site);
  if (name === undefined) return [settled('allowed', 'the policy allows every name')];
  const { gatewayIp } = kit.site.vm;
  const mixed = [...name].map((letter, at) => (at % 2 === 0 ? letter.toUpperCase() : letter));
  const asked: [string, number, string][] = [
    [name, TYPE.A, 'A'],
    [mixed.join(''), TYPE.A, 'A'],
    [name, TYPE.AAAA, 'AAAA'],
    [name, TYPE.HTTPS, 'HTTPS'],
    [`_sip._tcp.${name}`, TYPE.SRV, 'SRV'],
  ];
  return asked.map(([what, type, word]) =>
    queryTrial(`${word} ${what}`, kit.query(gatewayIp, what, type), false),
  );
}

function tunnel(kit: Kit): Trial {
  const name = strangeName(kit.site);
  if (name === undefined) return settled('allowed', 'the policy allows every name');
  const data = randomBytes(30).toString('hex');
  const shot = kit.query(kit.site.vm.gatewayIp, `${data}.${name}`, TYPE.TXT);
  return queryTrial(`TXT …${data.slice(-6)}.${name}`, shot, false);
}

function foreignUdp(kit: Kit): Trial[] {
  const { name, mayBeAnswered } = asked(kit);
  const to = strangeResolver(kit.site);
  const verdict = said(kit.site, { destination: to, protocol: 'udp', port: 53 });
  if (verdict.verdict === 'allow') return [settled('allowed', verdict.reason)];
  return [queryTrial(`${name} at ${to}`, kit.query(to, name), mayBeAnswered)];
}

function foreignTcp(kit: Kit): Trial {
  const { name, mayBeAnswered } = asked(kit);
  const to = strangeResolver(kit.site);
  const verdict = said(kit.site, { destination: to, protocol: 'tcp', port: 53 });
  if (verdict.verdict === 'allow') return settled('allowed', verdict.reason);
  const message = question(name, TYPE.A);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  const talk = kit.talk(to, 53, [{ send: [Buffer.concat([length, message])], atLeast: 14 }]);
  return {
    what: `${name} at ${to}`,
    judge(evidence) {
      const way = judgeWay(evidence, talk);
      if (way !== undefined) return way;
      const answer = evidence.talked(talk)?.read[0] ?? Buffer.alloc(0);
      if (answer.length > 14) return judgeAnswer(answer.subarray(2), mayBeAnswered);
      return mayBeAnswered ? held("vmsan's resolver got it") : unjudged('it was not answered');
    },
  };
}

/** A name that is refused, or where there is none one that does not exist. */
function asked(kit: Kit): { name: string; mayBeAnswered: boolean } {
  const name = strangeName(kit.site);
  return { name: name ?? 'vmsan-audit.invalid', mayBeAnswered: name === undefined };
}

function hidden(kit: Kit, ...kinds: string[]): Trial[] {
  const destination = strangeAddress(kit.site);
  return kinds.map((kind) => {
    const [protocol, port] = kind.split(' ') as ['tcp' | 'udp', string];
    return packetTrial(kit, { destination, protocol, port: Number(port) });
  });
}

/** Known resolvers' addresses; a packet goes there only if the wall has a hole. */
function dnsOverHttps(kit: Kit): Trial[] {
  const byAddress = ['1.1.1.1', '9.9.9.9']
    .map((destination) => ({ destination, protocol: 'tcp', port: 443 }) as const)
    .filter((packet) => said(kit.site, packet).verdict !== 'proxy')
    .map((packet) => packetTrial(kit, packet));
  const name = 'dns.google';
  const verdict = saidOfName(kit.site, name);
  if (verdict.allow) return [...byAddress, settled('allowed', `${name} is allowed`)];
  const to = strangeAddress(kit.site);
  if (isOpen(kit.site, { destination: to, protocol: 'tcp', port: 443 })) return byAddress;
  return [...byAddress, alertTrial(name, kit.talk(to, 443, [helloFor(name)]))];
}

function rebinding(kit: Kit): Trial[] {
  const { site } = kit;
  const { rebindingName: name, policy } = site;
  if (policy.domains.length === 0) {
    return [
      settled(policy.default === 'allow' ? 'allowed' : 'held', 'addresses decide, not names'),
    ];
  }
  if (name === undefined) {
    const need = 'it needs an allowed name that leads into a private network: --rebinding-name';
    return [settled('not judged', need)];
  }
  const query = kit.query(site.vm.gatewayIp, name);
  const to = strangeAddress(site);
  return [
    {
      what: `lookup of ${name}`,
      judge(evidence) {
        const answer = evidence.datagramFor(query);
        if (answer === undefined) return unjudged('the resolver did not answer');
        // RFC 1035 4.1.1: the number of answers.
        const records = answer.length < 12 ? 0 : answer.readUInt16BE(6);
        return records > 0 ? escaped(`${records} records came`) : held('no address came');
      },
    },
    pageTrial(`HTTP to ${name}`, kit.talk(to, 80, [getPage(name)])),
  ];
}
