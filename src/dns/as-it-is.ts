import type { SocketOptions } from 'node:dgram';

/** For sockets that send to addresses, never to names: nothing to look up, no turn of the event loop to wait for. */
export const asItIs: NonNullable<SocketOptions['lookup']> = (address, _options, done) =>
  done(null, address, 4);
