/** What the kernel's command line depends on. */
export type KernelFacts =
  | { accelerator: 'kvm' }
  | {
      accelerator: 'kvm' | 'tcg';
      /** The rate of the host's time-stamp counter (`hostTscKhz`); null on a host without one. */
      tscKhz: number | null;
    };

/**
 * The guest kernel's command line (Linux, admin-guide/kernel-parameters).
 *
 * An emulated CPU counts the host's TSC. Left to find out its rate by the
 * emulated PIT, the kernel hangs in one boot of twelve on a quiet host, and in
 * two of three on a busy one: it is told the rate instead.
 */
export function kernelCommandLine(facts: KernelFacts): string {
  const words = [
    'console=ttyS0',
    // Each line on the emulated serial port is paid for; errors still come.
    'quiet',
    'loglevel=3',
    // A guest that panics ends: a restart is what `-no-reboot` turns into the end.
    // After a second, in which its console can still be read.
    'panic=1',
    'reboot=t',
    // Self-tests of ciphers that the distribution has run before.
    'cryptomgr.notests=1',
  ];
  if (facts.accelerator === 'tcg') {
    // Whatever rewrites kernel code throws translated code away: 0.3 s of boot.
    // An emulated CPU does not speculate, so there is nothing to mitigate.
    words.push('mitigations=off', 'noreplace-smp');
    // With random addresses every program of the guest takes twice as long to
    // start: docs/decisions/no-aslr-under-emulation.md.
    words.push('norandmaps');
    if (facts.tscKhz !== null) words.push(`tsc_early_khz=${facts.tscKhz}`);
  }
  return words.join(' ');
}
