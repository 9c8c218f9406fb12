import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLASS_IN, RCODE, TYPE } from './message.ts';
import { wireName } from './name.ts';
import { viewOf } from './view.ts';

const name = wireName('svc.example')!;
const rules = { keeps: (address: string) => address !== '10.0.0.1' };

/** Priority 1, target ".", then alpn h2, ipv4hint and ech (RFC 9460 section 2.2). */
const SERVICE = Buffer.from('00010000010003026832000400040a0000010005000401020304', 'hex');
const CUT = Buffer.from('00010000010003026832', 'hex');

test('service records of both types lose ech and hints under domain rules, and only there', () => {
  for (const type of [TYPE.HTTPS, TYPE.SVCB]) {
    const record = { name, type, class: CLASS_IN, ttl: 60, data: SERVICE };
    const found = { rcode: RCODE.NOERROR, answers: [record], authority: undefined, ttl: 60 };
    const seen = viewOf(type, found, rules).reply.answers?.map(({ data }) => data.toString('hex'));
    assert.deepEqual(seen, [CUT.toString('hex')]);
    assert.deepEqual(viewOf(type, found, undefined).reply.answers?.[0]?.data, SERVICE);
  }
});
