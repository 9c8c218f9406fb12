import assert from 'node:assert/strict';
import { BodyReader } from '../../src/proxy/http-body.ts';
import { readRequestHead, type RequestHead } from '../../src/proxy/http-head.ts';
import { readResponseHead } from '../../src/proxy/http-response.ts';
import { readAsNode } from './node-parser.ts';
import type { Random } from './random.ts';
import { words, type Target } from './target.ts';

const NEXT = Buffer.from('GET /the-next-one HTTP/1.1\r\nHost: next.example\r\n\r\n');

/**
 * HTTP/1: said of a part, it is said of the whole; and what is accepted means
 * the same host, method and end to Node's parser.
 */
export const httpHead: Target = {
  name: 'http-head',
  words: words(
    ...['\r\n', '\n', '\r', '\r\n\r\n', ' ', ':', '\t', '\0', ',', ';', '_', '@', '#', '?', '%00'],
    ...['Host: denied.example.com\r\n', 'host:allowed.example.com', ':80', ':443', '0', 'HTTP/1.0'],
    ...[
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Transfer-Encoding: identity\r\n',
    ],
    ...[
      'Connection: close\r\n',
      'Connection: Upgrade\r\n',
      'Upgrade: websocket\r\n',
      'Expect: x\r\n',
    ],
    ...[
      'http://',
      'http://denied.example.com',
      'OPTIONS * ',
      'POST ',
      'GET ',
      '5\r\nhello\r\n0\r\n\r\n',
    ],
  ),
  check: (input, random) => {
    const whole = readRequestHead(input, 80);
    const part = readRequestHead(input.subarray(0, random.below(input.length + 1)), 80);
    if (part.kind !== 'more') assert.deepEqual(part, whole);
    const response = readResponseHead(input, 'GET');
    const said = whole.kind === 'bad' ? whole.reason : whole.kind;
    if (whole.kind !== 'head') return `${said}, ${response.kind}`;
    const { head } = whole;
    assert.match(head.host, /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/);
    assert.match(head.path, /^[\x21-\x7e]{1,201}$/);
    return `${said}, ${head.method}, ${head.body.kind}, ${head.upgrade}, ${bodyOf(input, head, random)}`;
  },
};

function bodyOf(input: Buffer, head: RequestHead, random: Random): string {
  const rest = input.subarray(head.length);
  const reader = new BodyReader(head.body);
  const taken = reader.take(rest);
  const slow = new BodyReader(head.body);
  let at = 0;
  let end = 0;
  let isBroken = false;
  while (end < rest.length && !slow.isDone && !isBroken) {
    end = Math.min(rest.length, end + 1 + random.below(8));
    const step = slow.take(rest.subarray(at, end));
    if (step === null) isBroken = true;
    else at += step;
  }
  assert.deepEqual([isBroken, slow.isDone], [taken === null, reader.isDone], 'however it is cut');
  if (taken !== null) assert.equal(at, taken);
  if (taken === null) return 'broken body';

  const message = input.subarray(0, head.length + taken);
  const nodes = readAsNode(reader.isDone ? Buffer.concat([message, NEXT]) : message);
  const request = Array.isArray(nodes) ? nodes[0] : undefined;
  // Node may refuse more than we do, and may refuse what follows a last request.
  if (request === undefined) return 'not for Node';
  assert.equal(request.method, head.method);
  assert.deepEqual(
    request.hosts.map((host) => host.toLowerCase().replace(/:80$/, '')),
    [head.host],
  );
  if (!reader.isDone || request.upgrade || !request.keepAlive) return 'same head';
  assert.equal(Array.isArray(nodes) && nodes.length, 2, 'the next request begins where it ends');
  assert.equal(Array.isArray(nodes) && nodes[1]?.url, '/the-next-one');
  return 'same end';
}
