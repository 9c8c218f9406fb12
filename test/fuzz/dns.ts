import assert from 'node:assert/strict';
import { encodeMessage } from '../../src/dns/encode.ts';
import { FLAG, decodeMessage, type ResourceRecord } from '../../src/dns/message.ts';
import { nameText } from '../../src/dns/name.ts';
import { readQuery } from '../../src/dns/query.ts';
import { checkAnswer } from './answer.ts';
import { hexWords, type Target } from './target.ts';

/** DNS messages: what is accepted can be written, and reads the same again; what a guest gets of it. */
export const dns: Target = {
  name: 'dns',
  words: hexWords('c00c', 'c000', '00010001', '00050001', '00410001', '000029', '3f', '00', 'ffff'),
  check: (input) => {
    const query = readQuery(input);
    const message = decodeMessage(input);
    if (message === null) return `null, ${query?.kind ?? 'no query'}`;
    for (const { name } of message.questions) {
      assert.match(nameText(name), /^[\x21-\x7e]+$/);
    }
    const again = decodeMessage(encodeMessage(message, 0xffff));
    assert.ok(again);
    // Names that were pointers are written out at most so often.
    if ((again.flags & ~message.flags & FLAG.TC) !== 0) return 'too long when written';
    // Equal but for what takes long to compare.
    for (const part of ['answers', 'authorities', 'additionals'] as const) {
      assert.equal(again[part].length, message[part].length);
      for (const [i, record] of message[part].entries()) {
        const other: ResourceRecord | undefined = again[part][i];
        assert.ok(other !== undefined);
        assert.ok(other.name.equals(record.name) && other.data.equals(record.data));
        assert.deepEqual(
          [other.type, other.class, other.ttl],
          [record.type, record.class, record.ttl],
        );
      }
    }
    assert.deepEqual(again.questions, message.questions);
    const counts = [message.questions, message.answers, message.authorities].map(({ length }) =>
      Math.min(length, 3),
    );
    const answer = checkAnswer(message);
    // Of the 4096 codes only the first mean something.
    return `message ${Math.min(message.rcode, 16)} ${counts.join()} ${query?.kind ?? 'no query'} ${answer}`;
  },
};
