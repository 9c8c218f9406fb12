import type { Step } from '../probe.ts';
import { clientHello, records, type HelloParts } from '../../proxy/write-hello.ts';
import { RECORD_HEADER } from '../../proxy/tls-records.ts';
import { PROXY_PAGE } from '../judges.ts';

/** What is said to a proxy, or past it to a server. */

/** supported_groups and signature_algorithms (RFC 8446 4.2.7, 4.2.3): servers ask for them. */
const EXPECTED: readonly (readonly [number, Buffer])[] = [
  [10, Buffer.from('0004001d0017', 'hex')],
  [13, Buffer.from('000c040308040401050308050501', 'hex')],
];
/** Up to the random of what a server says first; an alert is shorter, and ends the connection. */
const FIRST_WORDS = RECORD_HEADER + 4 + 2 + 32;
const ALERT_BYTES = 7;

/** A ClientHello that a server would take. */
export function hello(parts: HelloParts): Buffer {
  const extensions = [...EXPECTED, ...(parts.extensions ?? [])];
  // Without a session id the server sends no change_cipher_spec (RFC 8446 D.4).
  return clientHello({ session: Buffer.alloc(0), ...parts, extensions });
}

export function helloFor(...names: string[]): Step {
  return helloStep(hello({ names }));
}

export function helloStep(message: Buffer): Step {
  return { send: [records(message)], atLeast: ALERT_BYTES };
}

/** The same in this many segments, and in records of so many bytes. */
export function splitHello(name: string, segments: number, recordBytes: number): Step {
  const bytes = records(hello({ names: [name] }), recordBytes);
  const size = Math.ceil(bytes.length / segments);
  const send = Array.from({ length: segments }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );
  return { send, atLeast: ALERT_BYTES };
}

/** Asks for a second hello, by having no key share. @param must what its answer has to hold */
export function retriedHello(name: string, must: Buffer): Step {
  return { send: [records(hello({ names: [name], keyShare: null }))], atLeast: FIRST_WORDS, must };
}

/** A request for a page that only the proxy has. */
export function getPage(host: string, target = '/'): Step {
  return { send: [head('GET', target, host)], until: PROXY_PAGE };
}

/** A request whose answer has no body, on a connection that stays. @param must what its answer has to hold */
export function headPage(host: string, must: Buffer): Step {
  return { send: [head('HEAD', '/', host)], until: Buffer.from('\r\n\r\n'), must };
}

function head(method: string, target: string, host: string): Buffer {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: ${host}`,
    'User-Agent: vmsan-audit',
    '',
    '',
  ];
  return Buffer.from(lines.join('\r\n'), 'latin1');
}
