/** What is being done right now, on stderr, for a person who watches a terminal. */
export interface Progress {
  show(step: string): void;
  /** Makes room for a line of text; the next `show` goes on below it. */
  clear(): void;
  done(): void;
}

const SILENT: Progress = { show: () => {}, clear: () => {}, done: () => {} };

/** A spinner when stderr is a terminal; otherwise nothing is ever written. */
export async function progress(): Promise<Progress> {
  if (!process.stderr.isTTY) return SILENT;
  const { default: yoctoSpinner } = await import('yocto-spinner');
  const spinner = yoctoSpinner({ stream: process.stderr });
  return {
    show(step) {
      spinner.text = step;
      spinner.start();
    },
    clear: () => void spinner.stop(),
    done: () => void spinner.stop(),
  };
}
