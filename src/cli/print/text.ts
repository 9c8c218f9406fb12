/** Plain output for people: everything that is printed comes through here. */

/**
 * Text that may come from a guest or a request, made safe for a terminal:
 * control characters, and the marks that reorder or hide text, are shown as
 * escapes. Newlines too.
 */
export function printable(text: string): string {
  // C0, DEL, C1; zero-width and bidirectional controls (Unicode TR9, TR36).
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (char) => {
      const code = char.charCodeAt(0);
      return code < 0x100
        ? `\\x${code.toString(16).padStart(2, '0')}`
        : `\\u${code.toString(16).padStart(4, '0')}`;
    },
  );
}

/** One line on stdout. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One line on stderr, for what is no result. */
export function remark(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A value on stdout as JSON, whole and on its own line. */
export function sayJson(value: unknown): void {
  say(JSON.stringify(value, null, 2));
}

/** `10 GiB`, `1.5 GiB`, `512 MiB`. */
export function size(bytes: number): string {
  const mib = bytes / 1024 / 1024;
  for (const [unit, scale] of [
    ['TiB', 1024 * 1024],
    ['GiB', 1024],
  ] as const) {
    if (mib >= scale) return `${Number((mib / scale).toFixed(2))} ${unit}`;
  }
  return `${Number(mib.toFixed(2))} MiB`;
}

/** How long ago, in the largest unit that gives 2 or more, as Docker says it. */
export function ago(thenMs: number, nowMs = Date.now()): string {
  const seconds = Math.max(0, Math.floor((nowMs - thenMs) / 1000));
  for (const [unit, length] of [
    ['days', 86_400],
    ['hours', 3_600],
    ['minutes', 60],
  ] as const) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit} ago`;
  }
  return `${seconds} seconds ago`;
}
