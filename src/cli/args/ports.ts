import type { Command } from 'commander';
import { parsePorts, parseUnpublished } from '../../api/values.ts';
import { valueFlag } from './flags.ts';

/** The flags that publish ports, as they were written. */
export interface PortOptions {
  publishPort?: string[];
  unpublishPort?: string[];
}

export function addPublishFlag(command: Command): Command {
  return command.addOption(
    valueFlag(
      '--publish-port <ports>',
      'lead ports of the host to the VM: 8080, 8080:80, 127.0.0.1:8080:80, 8000-8010, 53/udp; 0:80 takes a free one',
      parsePorts,
    ),
  );
}

export function addUnpublishFlag(command: Command): Command {
  return command.addOption(
    valueFlag('--unpublish-port <ports>', 'no more, by the ports of the host', parseUnpublished),
  );
}

export function saysPorts({ publishPort, unpublishPort }: PortOptions): boolean {
  return publishPort !== undefined || unpublishPort !== undefined;
}

/** The ports as a request carries them. */
export function portsRequest({ publishPort, unpublishPort }: PortOptions) {
  return {
    ...(publishPort === undefined ? {} : { publishPorts: publishPort }),
    ...(unpublishPort === undefined ? {} : { unpublishPorts: unpublishPort }),
  };
}
