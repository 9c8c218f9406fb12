import { spawn } from 'node:child_process';

/** Ends with its parent, however that ends. */
const HOG = 'const parent = process.ppid; while (process.ppid === parent);';

/**
 * Starts processes that each keep a core busy.
 * @returns ends them
 */
export function startHogs(count: number): () => void {
  const hogs = Array.from({ length: count }, () =>
    spawn(process.execPath, ['-e', HOG], { stdio: 'ignore' }),
  );
  return () => {
    for (const hog of hogs) hog.kill('SIGKILL');
  };
}
