import { test } from 'node:test';
import assert from 'node:assert/strict';
import { BodyReader } from './http-body.ts';
import { MAX_HEAD } from './http-fields.ts';
import { readRequestHead } from './http-head.ts';
import { readResponseHead } from './http-response.ts';

const HOST = 'Host: allowed.example.com';
const head = (...lines: string[]) => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
const read = (...lines: string[]) => readRequestHead(head(...lines), 80);
const problemOf = (...lines: string[]) => {
  const reading = read(...lines);
  return reading.kind === 'bad' ? reading.problem : reading.kind;
};

test('a plain request, however it is cut', () => {
  const bytes = head('GET /a?b=c HTTP/1.1', 'Host: Allowed.example.com:80', 'Accept: */*');
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(readRequestHead(bytes.subarray(0, length), 80).kind, 'more');
  }
  const ahead = Buffer.concat([bytes, Buffer.from('GET /next')]);
  assert.deepEqual(readRequestHead(ahead, 80), {
    kind: 'head',
    head: {
      method: 'GET',
      host: 'allowed.example.com',
      path: '/a?b=c',
      body: { kind: 'none' },
      upgrade: false,
      length: bytes.length,
    },
  });
});

test('how its body ends, and what it asks to become', () => {
  const framing = (...lines: string[]) => {
    const reading = read('POST / HTTP/1.1', HOST, ...lines);
    return reading.kind === 'head' && reading.head.body;
  };
  assert.deepEqual(framing('Content-Length: 12'), { kind: 'length', bytes: 12 });
  assert.deepEqual(framing('Transfer-Encoding: Chunked'), { kind: 'chunked' });
  const socket = read('GET /chat HTTP/1.1', HOST, 'Connection: Upgrade', 'Upgrade: websocket');
  assert.equal(socket.kind === 'head' && socket.head.upgrade, true);
});

test('URL and Host agree, and mean this port', () => {
  assert.equal(problemOf('GET http://ALLOWED.example.com/x HTTP/1.1', HOST), 'head');
  assert.equal(problemOf('OPTIONS * HTTP/1.1', HOST), 'head');
  for (const lines of [
    ['GET http://denied.example.com/ HTTP/1.1', HOST],
    ['GET http://allowed.example.com:8080/ HTTP/1.1', HOST],
    ['GET http://allowed.example.com@denied.example.com/ HTTP/1.1', HOST],
    ['GET / HTTP/1.1'],
    ['GET / HTTP/1.0'],
    ['GET http://allowed.example.com/ HTTP/1.1'],
    ['GET / HTTP/1.1', HOST, 'Host: denied.example.com'],
    ['GET / HTTP/1.1', HOST, 'host: allowed.example.com'],
    ['GET / HTTP/1.1', `${HOST}:443`],
    ['GET / HTTP/1.1', `${HOST}:`],
    ['GET / HTTP/1.1', `${HOST}:080`],
    ['GET / HTTP/1.1', `${HOST}, denied.example.com`],
    ['GET / HTTP/1.1', 'Host: 198.51.100.10'],
    ['GET / HTTP/1.1', 'Host: [2001:db8::1]:80'],
    ['GET / HTTP/1.1', 'Host: '],
    ['GET / HTTP/1.1', 'Host: allowed.example.com.'],
    ['GET / HTTP/1.1', 'Host: allowed.example.com/denied'],
  ]) {
    assert.equal(problemOf(...lines), 'host', lines.join(' | '));
  }
  const other = readRequestHead(head('GET / HTTP/1.1', `${HOST}:8080`), 8080);
  assert.equal(other.kind, 'head');
});

test('what servers could read in two ways is refused', () => {
  const post = (...lines: string[]) => problemOf('POST / HTTP/1.1', HOST, ...lines);
  for (const lines of [
    ['Content-Length: 3', 'Transfer-Encoding: chunked'],
    ['Content-Length: 3', 'Content-Length: 3'],
    ['Content-Length: 3, 3'],
    ['Content-Length: +3'],
    ['Content-Length: 0x3'],
    ['Content-Length: 03'],
    ['Content-Length: 99999999999999999'],
    ['Transfer-Encoding: chunked, gzip'],
    ['Transfer-Encoding: gzip, chunked'],
    ['Transfer-Encoding: xchunked'],
    ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
    ['Transfer_Encoding: chunked'],
    ['Content_Length: 3'],
    ['Connection: close, Content-Length', 'Content-Length: 3'],
    ['Connection: host'],
  ]) {
    assert.equal(post(...lines), 'ambiguous', lines.join(' | '));
  }
  assert.equal(problemOf('POST / HTTP/1.0', HOST, 'Transfer-Encoding: chunked'), 'ambiguous');
});

test('what is malformed is refused', () => {
  for (const lines of [
    ['get / HTTP/1.1', HOST],
    ['GET  / HTTP/1.1', HOST],
    ['GET / HTTP/1.1 ', HOST],
    ['GET /\t HTTP/1.1', HOST],
    ['GET / HTTP/1.2', HOST],
    ['GET / HTTP/2.0', HOST],
    ['GET /', HOST],
    ['GET allowed.example.com HTTP/1.1', HOST],
    ['GET https://allowed.example.com/ HTTP/1.1', HOST],
    ['GET / HTTP/1.1', 'Host : allowed.example.com'],
    ['GET / HTTP/1.1', ' Host: allowed.example.com'],
    ['GET / HTTP/1.1', HOST, 'A: b', '\tc'],
    ['GET / HTTP/1.1', HOST, 'no colon'],
    ['GET / HTTP/1.1', HOST, ': x'],
    ['GET / HTTP/1.1', `${HOST}\0`],
    ['GET / HTTP/1.1', HOST, 'A: b\x7f'],
    ['', 'GET / HTTP/1.1', HOST],
    ['GET / HTTP/1.1', HOST, 'A: b\nHost: denied.example.com'],
    ['GET / HTTP/1.1', HOST, 'A: b\rHost: denied.example.com'],
    ['GET / HTTP/1.1', HOST, ...Array<string>(200).fill('A: b')],
    ['GET / HTTP/1.1', HOST, `A: ${'b'.repeat(MAX_HEAD)}`],
  ]) {
    const kind = problemOf(...lines);
    assert.ok(
      kind === 'malformed' || kind === 'method',
      `${kind}: ${lines.join(' | ').slice(0, 90)}`,
    );
  }
  assert.equal(readRequestHead(Buffer.from('GET / HTTP/1.1\n'), 80).kind, 'bad', 'at once');
});

test('tunnels and HTTP/2 without TLS are refused', () => {
  assert.equal(problemOf('CONNECT denied.example.com:443 HTTP/1.1', HOST), 'method');
  assert.equal(problemOf('PRI * HTTP/2.0'), 'h2c');
  assert.equal(problemOf('GET / HTTP/1.1', HOST, 'Upgrade: websocket, h2c'), 'h2c');
  assert.equal(problemOf('GET / HTTP/1.1', HOST, 'HTTP2-Settings: AAMAAABk'), 'h2c');
});

test('the end of a chunked body is found, however it is cut', () => {
  const body = '4\r\nwiki\r\n00A\r\n0123456789\r\n0\r\nExpires: never\r\n\r\n';
  for (let step = 1; step <= body.length + 4; step++) {
    const stream = Buffer.from(`${body}GET `);
    const reader = new BodyReader({ kind: 'chunked' });
    let at = 0;
    for (let end = step; !reader.isDone && end < stream.length + step; end += step) {
      at += reader.take(stream.subarray(at, end)) ?? NaN;
    }
    assert.equal(at, body.length, `${step} bytes at a time`);
  }
});

test('a malformed chunked body is no body', () => {
  for (const body of [
    'x\r\n',
    '4\n',
    '4;a=b\r\n',
    '4\r\nwikix',
    '-1\r\n',
    '\r\n',
    ' 4\r\n',
    'ffffffffffffffff\r\n',
    '0\r\nA\r\n\r\n',
    '0\r\n\n',
  ]) {
    const reader = new BodyReader({ kind: 'chunked' });
    const bytes = Buffer.from(body);
    const first = reader.take(bytes);
    assert.ok(first === null || reader.take(bytes.subarray(first)) === null, JSON.stringify(body));
  }
});

test('responses: where they end', () => {
  const framing = (method: string, ...lines: string[]) => {
    const reading = readResponseHead(head(...lines), method);
    return reading.kind === 'head' ? reading.head.body.kind : reading.kind;
  };
  assert.equal(framing('GET', 'HTTP/1.1 200 OK', 'Content-Length: 5'), 'length');
  assert.equal(framing('GET', 'HTTP/1.1 200', 'Transfer-Encoding: chunked'), 'chunked');
  assert.equal(framing('GET', 'HTTP/1.1 200 OK'), 'close');
  assert.equal(
    framing('GET', 'HTTP/1.1 200 OK', 'Content-Length: 5', 'Content-Length: 6'),
    'close',
  );
  assert.equal(
    framing('GET', 'HTTP/1.1 200 OK', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
    'close',
  );
  assert.equal(framing('HEAD', 'HTTP/1.1 200 OK', 'Content-Length: 5'), 'none');
  for (const status of ['100 Continue', '101 Switching Protocols', '204 No Content', '304 x']) {
    assert.equal(framing('GET', `HTTP/1.1 ${status}`, 'Content-Length: 5'), 'none', status);
  }
  assert.equal(framing('GET', 'ICY 200 OK'), 'bad');
});
