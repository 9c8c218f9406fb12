import type { Command } from 'commander';
import { parseRate } from '../../api/values.ts';
import { valueFlag } from './flags.ts';

/** The flags of a VM's limits; 0 is `none`, as requests have it: commander turns null into ''. */
export interface BandwidthOptions {
  bandwidth?: number;
  bandwidthIn?: number;
}

export function addBandwidthFlags(command: Command): Command {
  return command
    .addOption(
      valueFlag(
        '--bandwidth <rate>',
        'at most this much out, as tc writes it: 50mbit; "none" is no limit',
        rate,
      ),
    )
    .addOption(valueFlag('--bandwidth-in <rate>', 'at most this much in', rate));
}

/** Whether a limit was named. */
export function saysBandwidth({ bandwidth, bandwidthIn }: BandwidthOptions): boolean {
  return bandwidth !== undefined || bandwidthIn !== undefined;
}

/** The limits as a request carries them: each only when it was named. */
export function bandwidthRequest({ bandwidth, bandwidthIn }: BandwidthOptions) {
  return {
    ...(bandwidth === undefined ? {} : { bandwidthOut: String(bandwidth) }),
    ...(bandwidthIn === undefined ? {} : { bandwidthIn: String(bandwidthIn) }),
  };
}

function rate(text: string): number {
  return parseRate(text) ?? 0;
}
