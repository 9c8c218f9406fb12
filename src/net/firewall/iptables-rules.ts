import type { BaseChain, Condition, FilterTable, Hook, Outcome, Rule, Tool } from './chain.ts';

const HOOKS: Record<string, Hook> = { INPUT: 'input', FORWARD: 'forward', OUTPUT: 'output' };

/**
 * Reads the filter table out of what iptables-save(8) prints.
 * @returns null when there is none, or when iptables itself cannot read it
 */
export function readIptables(tool: Exclude<Tool, 'nft'>, text: string): FilterTable | null {
  const lines = text.split('\n');
  const start = lines.indexOf('*filter');
  if (start === -1) return null;
  const chains = new Map<string, { name: string; policy: string; rules: Rule[] }>();
  for (const line of lines.slice(start + 1)) {
    if (line === 'COMMIT') break;
    const words = wordsOf(line);
    if (line.startsWith(':')) {
      const [name = '', policy = ''] = line.slice(1).split(' ');
      chains.set(name, { name, policy, rules: [] });
    } else if (words[0] === '-A') {
      const chain = chains.get(words[1] ?? '');
      chain?.rules.push(readRule(words.slice(2), chain.rules.length + 1));
    }
  }
  const base = [...chains.values()].flatMap((chain): BaseChain[] => {
    const hook = HOOKS[chain.name];
    const policy = chain.policy === 'DROP' ? 'refuse' : 'accept';
    return hook === undefined ? [] : [{ ...chain, hook, policy }];
  });
  return { tool, family: 'ip', name: 'filter', base, chains };
}

/** As a shell would, of what iptables-save prints: words, and words in double quotes. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, quoted, plain]) => plain ?? quoted!.replaceAll(/\\(.)/g, '$1'),
  );
}

function readRule(words: readonly string[], at: number): Rule {
  const conditions: Condition[] = [];
  let outcome: Outcome = { kind: 'none' };
  let comment = '';
  for (let index = 0; index < words.length;) {
    const not = words[index] === '!';
    if (not) index += 1;
    const [option = '', value = ''] = [words[index], words[index + 1]];
    index += 2;
    switch (option) {
      case '-j':
        outcome = outcomeOf(value);
        // The rest is the target's.
        index = words.length;
        break;
      case '-g':
        outcome = { kind: 'goto', chain: value };
        break;
      case '-m':
        break;
      case '--comment':
        comment = value;
        break;
      default:
        conditions.push(conditionOf(option, value, not));
        // Options without a value, and those with two.
        if (/^!$|^-/.test(value)) index -= 1;
        while (index < words.length && !/^!$|^-/.test(words[index]!)) index += 1;
    }
  }
  return { conditions, outcome, comment, at };
}

function outcomeOf(target: string): Outcome {
  switch (target) {
    case 'ACCEPT':
    // To a program, which decides.
    case 'NFQUEUE':
    case 'QUEUE':
      return { kind: 'accept' };
    case 'DROP':
    case 'REJECT':
    case 'TARPIT':
      return { kind: 'refuse' };
    case 'RETURN':
      return { kind: 'return' };
    default:
      // Extensions that do something and go on are no chains of the table.
      return { kind: 'jump', chain: target };
  }
}

function conditionOf(option: string, value: string, not: boolean): Condition {
  switch (option) {
    case '-i':
    case '-o':
      return {
        kind: option === '-i' ? 'from link' : 'to link',
        names: [value.replace(/\+$/, '*')],
        not,
      };
    case '-s':
    case '-d':
      return {
        kind: option === '-s' ? 'source' : 'destination',
        networks: value.split(','),
        not,
      };
    case '--ctstate':
    case '--state':
      return { kind: 'state', states: value.toLowerCase().split(','), not };
    case '--dst-type':
      return value === 'LOCAL' ? { kind: 'local destination', not } : { kind: 'other' };
    case '--mark':
      return /^0x0(\/|$)/.test(value) ? { kind: 'unmarked', not } : { kind: 'unmarked', not: !not };
    default:
      return { kind: 'other' };
  }
}
