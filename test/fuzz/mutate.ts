import type { Random } from './random.ts';

/** Longest input, bytes: more than any of the parsers takes, but for a few. */
const MAX_INPUT = 20_000;
const ODD_BYTES = [0, 1, 0x09, 0x0a, 0x0d, 0x20, 0x2e, 0x3a, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff];

/**
 * An input like those of the corpus but not the same: a few of them cut, mixed
 * and sprinkled with odd bytes and with words that mean something to the parser.
 */
export function mutate(
  corpus: readonly Buffer[],
  words: readonly Buffer[],
  random: Random,
): Buffer {
  let bytes: Buffer = Buffer.from(random.of(corpus));
  for (let edits = 1 + random.below(random.below(4) === 0 ? 16 : 4); edits > 0; edits--) {
    bytes = edit(bytes, corpus, words, random);
  }
  return bytes.length > MAX_INPUT ? bytes.subarray(0, MAX_INPUT) : bytes;
}

function edit(
  bytes: Buffer,
  corpus: readonly Buffer[],
  words: readonly Buffer[],
  random: Random,
): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(1 + random.below(random.below(8) === 0 ? 300 : 8), bytes.length - at);
  const head = bytes.subarray(0, at);
  const tail = bytes.subarray(at);
  switch (random.below(10)) {
    case 0:
      return Buffer.concat([head, tail.subarray(length)]);
    case 1:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
    case 2:
      return Buffer.concat([head, random.of(words), tail]);
    case 3: {
      const word = random.of(words);
      return Buffer.concat([head, word, tail.subarray(word.length)]);
    }
    case 4: {
      const other = random.of(corpus);
      return Buffer.concat([head, other.subarray(random.below(other.length + 1))]);
    }
    case 5:
      return Buffer.from(head);
    case 6: {
      if (tail.length >= 2)
        tail.writeUInt16BE((tail.readUInt16BE(0) + random.below(9) - 4) & 0xffff);
      return bytes;
    }
    case 7:
      if (tail.length > 0) tail[0] = random.of(ODD_BYTES);
      return bytes;
    case 8:
      if (tail.length > 0) tail[0] = (tail[0] ?? 0) ^ (1 << random.below(8));
      return bytes;
    default:
      return Buffer.concat([head, Buffer.from([random.below(256)]), tail]);
  }
}
