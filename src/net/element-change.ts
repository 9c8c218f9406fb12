/**
 * What changes between two texts of one ruleset, when it is elements of sets
 * and maps alone. A host's table is loaded whole once; after that a VM is a few
 * elements, and letting it in costs the same beside 250 others as beside none.
 */

/** A set or map as our renderers write it, on a line of its own. */
const NAMED =
  /^ *(?:set|map) (\w+) \{ (type [^;]+;(?: flags [^;]+;)?)(?: elements = \{ (.*) \};)? \}$/gm;
const TABLE = /^table (\w+ \w+) \{$/m;

/**
 * The commands that turn what `before` made into what `after` says: none when
 * they are the same. Undefined when more than elements differs, or elements of
 * a set of intervals: the kernel may have merged those.
 * @param before of one table, as `after`
 */
export function elementChange(before: string, after: string): string | undefined {
  const [table, otherTable] = [before, after].map((text) => TABLE.exec(text)?.[1]);
  const [was, is] = [read(before), read(after)];
  if (table === undefined || table !== otherTable || was.rest !== is.rest) return undefined;
  const commands: string[] = [];
  for (const [name, { type, elements }] of is.sets) {
    const old = was.sets.get(name)!.elements;
    const removed = [...old].filter((element) => !elements.has(element));
    const added = [...elements].filter((element) => !old.has(element));
    if (removed.length + added.length > 0 && type.includes('interval')) return undefined;
    // First what goes: a map has one value for a key.
    if (removed.length > 0) commands.push(command('delete', table, name, removed));
    if (added.length > 0) commands.push(command('add', table, name, added));
  }
  return commands.join('');
}

interface Parts {
  sets: Map<string, { type: string; elements: Set<string> }>;
  /** The text without the elements. */
  rest: string;
}

function read(text: string): Parts {
  const sets: Parts['sets'] = new Map();
  const rest = text.replaceAll(NAMED, (_line, name: string, type: string, elements?: string) => {
    sets.set(name, { type, elements: new Set(elements?.split(', ')) });
    return `set ${name} ${type}`;
  });
  return { sets, rest };
}

function command(verb: string, table: string, set: string, elements: readonly string[]): string {
  return `${verb} element ${table} ${set} { ${elements.join(', ')} }\n`;
}
