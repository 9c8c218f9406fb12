import { spawn } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { CommandFailed } from '../../../src/host/run.ts';

/** How a compressed file begins, and what unpacks it. */
const FORMATS: { magic: string; unpack: (packed: Buffer) => Promise<Buffer> | Buffer }[] = [
  { magic: '1f8b', unpack: gunzipSync },
  { magic: '28b52ffd', unpack: zstdDecompressSync },
  { magic: 'fd377a585a00', unpack: (packed) => filter(['xz', '-dc'], packed) },
  // The legacy frame, which the kernel uses (lz4's doc/lz4_Frame_format.md).
  { magic: '02214c18', unpack: (packed) => filter(['lz4', '-dc'], packed) },
];

/** Unpacks what is compressed; gives anything else as it is. */
export async function unpack(data: Buffer): Promise<Buffer> {
  const format = FORMATS.find(
    ({ magic }) => data.subarray(0, magic.length / 2).toString('hex') === magic,
  );
  return format === undefined ? data : format.unpack(data);
}

async function filter(argv: [string, ...string[]], input: Buffer): Promise<Buffer> {
  const child = spawn(argv[0], argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  // A program that ends early is judged by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [output, errors, exitCode] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    ended,
  ]);
  if (exitCode === 0) return output;
  throw new CommandFailed(argv, { exitCode, signal: null, stderr: errors.toString() });
}
