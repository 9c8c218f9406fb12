import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';
import { PolicyError } from './error.ts';
import { readPorts, type PortRange } from './ports.ts';

export type { PortRange } from './ports.ts';

/** Names as users allow them: `api.example.com`, `*.github.com`, `github.com:22`. */

/** RFC 1035 section 2.3.4, as text without the final dot. */
const MAX_NAME = 253;
const MAX_LABEL = 63;
/** A name of 253 letters in another script, with its ports, is shorter. */
const MAX_TEXT = 2000;

export interface DomainRule {
  /** Canonical, as users are shown it. */
  readonly text: string;
  /** Lower-case A-labels, without a final dot and without `*.`. */
  readonly name: string;
  /** It stands for every name below `name`, at any depth, and not for `name`. */
  readonly wildcard: boolean;
  /** Without ports in the text: TCP 80 and 443. */
  readonly ports: readonly PortRange[];
}

/**
 * Reads one item of a list: a name or `*.name`, then perhaps `:port`.
 * @throws PolicyError that says what is wrong with it
 */
export function parseDomain(text: string): DomainRule {
  refuseWhatIsNoName(text);
  const colon = text.indexOf(':');
  const pattern = colon === -1 ? text : text.slice(0, colon);
  const ports = readPorts(colon === -1 ? undefined : text.slice(colon + 1), quoted(text));
  const wildcard = pattern.startsWith('*.');
  const name = patternName(wildcard ? pattern.slice(2) : pattern, text);
  const canonical = `${wildcard ? '*.' : ''}${name}${ports.text}`;
  // Only now that a final dot or digits of another script are gone.
  if (PORT_ALONE.test(canonical)) throw portAlone(text, canonical);
  return {
    text: canonical,
    name,
    wildcard,
    ports: ports.ranges,
  };
}

/**
 * A name from the wire, as matchers take it: lower case, no final dot, letters,
 * digits, "-" and "_" alone. Null for all else, the root and addresses among
 * it: no rule means such a name.
 */
export function normalName(text: string): string | null {
  const written = text.endsWith('.') ? text.slice(0, -1) : text;
  // Before it is lower-cased: the sign for kelvin would become a "k".
  if (!isName(written) || endsInNumber(written)) return null;
  return written.toLowerCase();
}

/** As `normalName`, for a name as people write it: other scripts become A-labels. */
export function writtenName(text: string): string | null {
  // The host parser that this calls reads addresses and %-escapes too.
  if (/[\0-\x7f]/.test(text.replaceAll(/[a-z0-9_.-]/gi, ''))) return null;
  const ascii = /[^\0-\x7f]/.test(text) ? domainToASCII(text) : text;
  return ascii === '' ? null : normalName(ascii);
}

/** For a message: in quotes, on one line, not long, and nothing in it that a terminal would act on. */
export function quoted(text: string): string {
  const short = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
  // JSON leaves delete, the C1 controls and marks of writing direction as they are.
  return short.replaceAll(
    /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu,
    (odd) => `\\u{${odd.codePointAt(0)?.toString(16)}}`,
  );
}

const PORT_ALONE = /^\d+(?:-\d+)?(?:\/\w+)?$/;

function portAlone(text: string, port: string): PolicyError {
  return new PolicyError(
    `${quoted(text)} is a port without a name`,
    `write one port to an item, each with its name: example.com:${port}`,
  );
}

const LABEL = /^[a-zA-Z0-9_-]{1,63}$/;

function isName(name: string): boolean {
  return name.length <= MAX_NAME && name.split('.').every((label) => LABEL.test(label));
}

/** What URLs, and with them browsers, take for an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker). */
function endsInNumber(name: string): boolean {
  return /(?:^|\.)(?:\d+|0x[\da-f]*)$/i.test(name);
}

function refuseWhatIsNoName(text: string): void {
  if (text === '') {
    throw new PolicyError('an entry is empty', 'write names such as example.com or *.example.com');
  }
  if (text.length > MAX_TEXT) throw new PolicyError(`${quoted(text)} is too long for a name`);
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x20\x7f-\xa0\u2028\u2029]/.test(text)) {
    throw new PolicyError(`${quoted(text)} has a space or a control character in it`);
  }
  if (PORT_ALONE.test(text)) throw portAlone(text, text);
  if (text.includes('://')) {
    throw new PolicyError(`${quoted(text)} is a URL`, 'write its host name alone');
  }
  const [address = '', prefix] = text.split('/');
  const bare = address.replace(/^\[|\]$/g, '');
  if (ipaddr.IPv6.isValid(bare) || (prefix !== undefined && ipaddr.IPv4.isValid(address))) {
    throw new PolicyError(
      `${quoted(text)} is an address, not a name`,
      'addresses and networks go in --allowed-cidr',
    );
  }
}

/** @returns the canonical name of a pattern without its `*.` */
function patternName(pattern: string, text: string): string {
  const written = pattern.endsWith('.') ? pattern.slice(0, -1) : pattern;
  if (written.includes('*')) {
    throw new PolicyError(
      `${quoted(text)} uses "*" as more than the first label`,
      'only *.example.com, which means every name below example.com; all names are allow-all',
    );
  }
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x7f]/.test(written.replaceAll(/[a-z0-9_.-]/gi, ''))) {
    throw new PolicyError(
      `${quoted(text)} is not a name`,
      'names have letters, digits, "-", "_" and dots, and perhaps a port: example.com:22',
    );
  }
  const ascii = /[^\0-\x7f]/.test(written) ? domainToASCII(written) : written;
  const name = ascii.toLowerCase();
  const labels = name.split('.');
  if (written.split('.').includes('') || (name !== '' && labels.includes(''))) {
    throw new PolicyError(`${quoted(text)} has an empty label: two dots, or one in front`);
  }
  if (name === '') throw new PolicyError(`${quoted(text)} is not a valid international name`);
  if (name.length > MAX_NAME || labels.some((label) => label.length > MAX_LABEL)) {
    throw new PolicyError(
      `${quoted(text)} is too long: a name has at most ${MAX_NAME} characters, a label ${MAX_LABEL}`,
    );
  }
  if (endsInNumber(name)) {
    throw new PolicyError(
      `${quoted(text)} is an address, not a name`,
      'addresses and networks go in --allowed-cidr',
    );
  }
  if (!isName(name) || labels.some((label) => label.startsWith('-') || label.endsWith('-'))) {
    throw new PolicyError(`${quoted(text)} has a label that no name may have`);
  }
  return name;
}
