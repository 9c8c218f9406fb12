const MAX_NAME = 253;
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
/** A last label that makes programs take the whole for an address: 1, 0x1 (WHATWG URL, "ends in a number"). */
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;

export type NameReading = { name: string } | { problem: 'address' | 'odd'; reason: string };

/**
 * The name of a server as a guest says it, in SNI or `Host`: letters, digits,
 * hyphen, underscore and dots, no final dot, at most 253 characters.
 * @returns it in lower case, or why it is none; the reason holds no text of the guest's
 */
export function readServerName(text: string): NameReading {
  if (text.startsWith('[') || text.includes(':')) return ADDRESS;
  if (text.length > MAX_NAME) return odd(`longer than ${MAX_NAME} characters`);
  const name = asciiLower(text);
  const labels = name.split('.');
  if (labels.at(-1) === '') return odd(text === '' ? 'empty' : 'ends in a dot');
  if (!labels.every((label) => LABEL.test(label))) {
    return odd('not made of letters, digits, hyphens and single dots');
  }
  if (NUMBER.test(labels.at(-1) ?? '')) return ADDRESS;
  return { name };
}

const ADDRESS: NameReading = { problem: 'address', reason: 'it is an address, not a name' };

function odd(what: string): NameReading {
  return { problem: 'odd', reason: `it is ${what}` };
}

/** Not toLowerCase(): that would make "k" of a Kelvin sign. */
function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) | 0x20));
}
