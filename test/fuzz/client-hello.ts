import assert from 'node:assert/strict';
import { MAX_HELD, readClientHello, readSecondHello } from '../../src/proxy/client-hello.ts';
import { readServerHello } from '../../src/proxy/server-hello.ts';
import { hexWords, type Target } from './target.ts';

type Reading = ReturnType<typeof readSecondHello>;

/** TLS hellos: said of a part, it is said of the whole; a name that is accepted is in the bytes. */
export const clientHello: Target = {
  name: 'client-hello',
  words: [
    ...hexWords('1603010200', '160301', '140303000101', '1703030010', '15030300020228', '01000100'),
    ...hexWords('0303', '0000000e000c000009', 'fe0d0004', '002b0003020304', '001000050003026832'),
    ...hexWords('0200', 'ffff', '00', '80', '0033', '000a'),
  ],
  check: (input, random) => {
    const cut = random.below(input.length + 1);
    const first = readClientHello(input);
    sameOfPart(readClientHello(input.subarray(0, cut)), first);
    const second = readSecondHello(input);
    sameOfPart(readSecondHello(input.subarray(0, cut)), second);
    const server = readServerHello(input);
    const serverOfPart = readServerHello(input.subarray(0, cut));
    assert.ok(serverOfPart === 'more' || serverOfPart === server);
    for (const reading of [first, second]) {
      if (reading.kind === 'more') assert.ok(input.length < MAX_HELD);
      if (reading.kind !== 'hello') continue;
      const { serverName, length } = reading.hello;
      assert.match(serverName, /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/);
      assert.ok(length <= input.length);
      assert.deepEqual(
        readSecondHello(input.subarray(0, length)),
        second.kind === 'hello' ? second : first,
      );
    }
    const said = 'reason' in first ? first.reason : first.kind;
    return `${said}, ${'reason' in second ? second.problem : second.kind}, ${server}`;
  },
};

function sameOfPart(part: Reading, whole: Reading): void {
  if (part.kind !== 'more') assert.deepEqual(part, whole);
}
