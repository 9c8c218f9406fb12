import { loadavg } from 'node:os';
import { cpuSecondsOf } from '../host/process.ts';
import type { Machine } from '../vmm/vmm.ts';

const LOOK_EVERY_MS = 250;
/** A monitor that stands still answers nobody. */
const ANSWER_MS = 2_000;

/** What tells a guest that hangs from one that died, and both from a host that is too busy. */
export interface BootTrouble {
  /** Since the machine's start. */
  seconds: number;
  /** Processor time that its monitor had: about as much means a loop, much less a busy host or a wait. */
  cpuSeconds: number;
  /** How the monitor's process ended; null while it runs. */
  exited: string | null;
  /** The host's, over the last minute. */
  load: number;
  console: string;
}

/**
 * Looks at a machine now and again while it boots: when it ends, its console and
 * its processor time go with it. Hence also the second that a guest's kernel
 * waits after a panic (src/guest/kernel-command-line.ts).
 */
export function watchBoot(machine: Machine): {
  stop(): void;
  /** Looks once more, if there is something left to look at. */
  trouble(): Promise<BootTrouble>;
} {
  const since = performance.now();
  let console = '';
  let cpuSeconds = 0;
  let looking: Promise<void> | null = null;
  const look = async () => {
    cpuSeconds = cpuSecondsOf(machine.process) ?? cpuSeconds;
    console = await machine.consoleTail().catch(() => console);
  };
  const timer = setInterval(() => {
    looking ??= look().finally(() => (looking = null));
  }, LOOK_EVERY_MS);
  return {
    stop: () => clearInterval(timer),
    async trouble() {
      clearInterval(timer);
      const late = Promise.withResolvers<void>();
      const patience = setTimeout(late.resolve, ANSWER_MS);
      await Promise.race([look(), late.promise]);
      clearTimeout(patience);
      const seconds = Math.round((performance.now() - since) / 10) / 100;
      const load = Math.round((loadavg()[0] ?? 0) * 100) / 100;
      return { seconds, cpuSeconds, exited: machine.exited, load, console };
    },
  };
}

const TELLING = /vmsan-agent: |Kernel panic|^BUG:|\bBUG: |Out of memory/;
const QUOTED = 8;

/** What to quote of a console: the words of the agent and of a panic, which registers may follow; else its end. */
export function tellingLines(console: string): string[] {
  const lines = console.replaceAll('\r', '').trim().split('\n');
  const telling = lines.filter((line) => TELLING.test(line));
  return (telling.length > 0 ? telling : lines).slice(-QUOTED);
}
