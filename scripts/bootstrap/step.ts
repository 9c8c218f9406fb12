/** One thing that a machine needs before vmsan runs on it. */
export interface Step {
  title: string;
  /** What is missing, in a few words; `undefined` when nothing is. Fast, changes nothing. */
  missing(): Promise<string | undefined>;
  /**
   * Brings it.
   * @throws Failure that says in one line what cannot be had
   */
  bring(report: Report): Promise<void>;
}

export interface Report {
  /** A line that the user should read. */
  say: (line: string) => void;
  /** A line that only shows that something is happening. */
  progress: (line: string) => void;
}
