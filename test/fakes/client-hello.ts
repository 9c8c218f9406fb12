import { RETRY_RANDOM as random } from '../../src/proxy/server-hello.ts';
import { extension, handshake, vector16 } from '../../src/proxy/write-hello.ts';

export {
  clientHello,
  extension,
  handshake,
  records,
  serverNames,
  type HelloParts,
} from '../../src/proxy/write-hello.ts';

/** The random of a HelloRetryRequest, in hex. */
export const RETRY_RANDOM = random.toString('hex');

/** A server's first message, with this random. */
export function serverHello(hex = '11'.repeat(32)): Buffer {
  const extensions = vector16(extension(43, Buffer.from('0304', 'hex')));
  const tail = Buffer.from('00130100', 'hex');
  return handshake(2, Buffer.concat([Buffer.from(`0303${hex}`, 'hex'), tail, extensions]));
}
