import { Failure } from '../../host/failure.ts';

/** Where the guest's output goes. A write resolves when the next may follow. */
export interface Output {
  stdout(chunk: Uint8Array): Promise<void>;
  stderr(chunk: Uint8Array): Promise<void>;
  /** Whether what was written is with the user, even if the command fails now. */
  readonly passesOn: boolean;
  /** What was kept rather than passed on. */
  text(): { stdout: string; stderr: string };
}

/** Passes output through to our own stdout and stderr, no faster than they are read. */
export function streamed(): Output {
  return {
    stdout: (chunk) => write(process.stdout, chunk),
    stderr: (chunk) => write(process.stderr, chunk),
    passesOn: true,
    text: () => ({ stdout: '', stderr: '' }),
  };
}

function write(stream: NodeJS.WriteStream, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.write(chunk)) resolve();
    else stream.once('drain', resolve);
  });
}

/** Keeps output as text, up to 16 MiB of each stream. */
export function collected(): Output {
  const kept = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const keep = (stream: 'stdout' | 'stderr') => {
    let bytes = 0;
    return async (chunk: Uint8Array): Promise<void> => {
      bytes += chunk.length;
      if (bytes > COLLECTED_BYTES) {
        throw new Failure('exhausted', `${stream} is more than --json keeps (16 MiB)`, {
          hint: 'leave --json out: output is then passed through',
        });
      }
      kept[stream].push(chunk);
    };
  };
  return {
    stdout: keep('stdout'),
    stderr: keep('stderr'),
    passesOn: false,
    text: () => ({
      stdout: Buffer.concat(kept.stdout).toString(),
      stderr: Buffer.concat(kept.stderr).toString(),
    }),
  };
}

const COLLECTED_BYTES = 16 * 1024 * 1024;
