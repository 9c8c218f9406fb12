import { settled, type Attempt, type Trial } from '../attempt.ts';
import { alertTrial, isOpen, pageTrial } from '../judges.ts';
import type { Kit } from '../kit.ts';
import { domainMatcher } from '../../policy/domain-matcher.ts';
import { RETRY_RANDOM } from '../../proxy/server-hello.ts';
import { allowedName, strangeAddress, strangeName } from '../site.ts';
import {
  getPage,
  headPage,
  hello,
  helloFor,
  helloStep,
  retriedHello,
  splitHello,
} from './words.ts';

const BY_NAME = 'the name in the hello or the request decides, whatever the address';
/** Encrypted Client Hello (RFC 9849), as browsers send it whether or not the server can (GREASE). */
const ECH: readonly [number, Buffer] = [
  0xfe0d,
  Buffer.concat([
    Buffer.from('000001000100002000', 'hex'),
    Buffer.alloc(31, 3),
    Buffer.from('001011', 'hex'),
    Buffer.alloc(15, 4),
  ]),
];

/** What is said on TCP 443 and 80. */
export function contentAttempts(kit: Kit): Attempt[] {
  return [...tls(kit), ...http(kit), fronting(kit), byAddress(kit)];
}

function tls(kit: Kit): Attempt[] {
  const to = strangeAddress(kit.site);
  const name = strangeName(kit.site);
  const good = allowedName(kit.site, 443);
  const attempt = (what: string, ...trials: (() => Trial)[]): Attempt => ({
    name: what,
    expected: BY_NAME,
    trials:
      name === undefined || isOpen(kit.site, { destination: to, protocol: 'tcp', port: 443 })
        ? [settled('allowed', 'no name decides under this policy')]
        : trials.map((make) => make()),
  });
  const other = name ?? '';
  const say = (...steps: Parameters<Kit['talk']>[2]) => kit.talk(to, 443, steps);
  return [
    attempt('wrong SNI', () => alertTrial(other, say(helloFor(other)))),
    attempt(
      'no SNI',
      () => alertTrial('none', say(helloFor())),
      () => alertTrial('an address', say(helloFor(to))),
      () => alertTrial('two names', say(helloFor(good ?? other, other))),
    ),
    attempt('ECH', () =>
      alertTrial(
        `behind ${good ?? other}`,
        say(helloStep(hello({ names: [good ?? other], extensions: [ECH] }))),
      ),
    ),
    attempt(
      'split hello',
      () => alertTrial('in 12 segments', say(splitHello(other, 12, 1 << 14))),
      () => alertTrial('in records of 16 bytes', say(splitHello(other, 1, 16))),
      () => alertTrial('in both', say(splitHello(other, 30, 20))),
    ),
    attempt('retry hello', () => retry(kit, good, other)),
    attempt('no TLS on 443', () =>
      alertTrial(
        'HTTP',
        say({ send: [Buffer.from(`GET / HTTP/1.1\r\nHost: ${other}\r\n\r\n`)], atLeast: 7 }),
      ),
    ),
  ];
}

/** The server's own word asks for the second hello: without an allowed name that answers there is none. */
function retry(kit: Kit, good: string | undefined, other: string): Trial {
  if (good === undefined)
    return alertTrial(other, kit.talk(strangeAddress(kit.site), 443, [helloFor(other)]));
  const steps = [retriedHello(good, RETRY_RANDOM), helloFor(other)];
  return alertTrial(`${good}, then ${other}`, kit.talk(strangeAddress(kit.site), 443, steps), 1);
}

function http(kit: Kit): Attempt[] {
  const to = strangeAddress(kit.site);
  const name = strangeName(kit.site);
  const good = allowedName(kit.site, 80);
  const other = name ?? '';
  const isAllowed =
    name === undefined || isOpen(kit.site, { destination: to, protocol: 'tcp', port: 80 });
  const attempt = (what: string, ...trials: (() => Trial)[]): Attempt => ({
    name: what,
    expected: BY_NAME,
    trials: isAllowed
      ? [settled('allowed', 'no name decides under this policy')]
      : trials.map((make) => make()),
  });
  const say = (...steps: Parameters<Kit['talk']>[2]) => kit.talk(to, 80, steps);
  const switched = (): Trial =>
    good === undefined
      ? pageTrial(other, say(getPage(other)))
      : pageTrial(
          `${good}, then ${other}`,
          say(headPage(good, Buffer.from('HTTP/1.')), getPage(other)),
          1,
        );
  const mixed = good ?? other;
  return [
    attempt(
      'wrong Host',
      () => pageTrial(other, say(getPage(other))),
      () => pageTrial('none', say(getPage(''))),
      () =>
        pageTrial(
          `${mixed} in the head, ${other} in the line`,
          say(getPage(mixed, `http://${other}/`)),
        ),
      () => pageTrial('an address', say(getPage(to))),
    ),
    attempt('Host switch on a kept-alive connection', switched),
    attempt(
      'no HTTP/1 on 80',
      () =>
        pageTrial(
          'HTTP/2',
          say({ send: [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')], atLeast: 64 }),
        ),
      () =>
        pageTrial(
          'CONNECT',
          say({
            send: [Buffer.from(`CONNECT ${other}:443 HTTP/1.1\r\nHost: ${other}:443\r\n\r\n`)],
            atLeast: 64,
          }),
        ),
    ),
  ];
}

function fronting(kit: Kit): Attempt {
  const { domains, default: otherwise } = kit.site.policy;
  const said =
    domains.length > 0
      ? settled('open', 'by nature: what is inside TLS to an allowed name is the server’s business')
      : settled(otherwise === 'allow' ? 'allowed' : 'held', 'no name is allowed apart from others');
  return { name: 'fronting inside TLS', expected: 'only the outer name is judged', trials: [said] };
}

function byAddress(kit: Kit): Attempt {
  const { domains, default: otherwise } = kit.site.policy;
  const { leased } = domainMatcher(domains);
  const ports = domains.filter((rule) => leased(nameOf(rule)).length > 0 && rule.includes(':'));
  const said =
    ports.length > 0
      ? settled('open', `by nature: ${ports.join(', ')} go by address`)
      : settled(
          otherwise === 'allow' ? 'allowed' : 'held',
          'no rule has a port that goes by address',
        );
  return {
    name: 'another name at the same address',
    expected: 'ports beside 80 and 443 go by address',
    trials: [said],
  };
}

function nameOf(rule: string): string {
  return rule.replace(/:.*$/, '').replace(/^\*\./, 'any.');
}
