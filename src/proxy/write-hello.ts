/** Builds ClientHellos by hand, right and wrong ones (RFC 8446 4.1.2): what an audit attacks with. */

export interface HelloParts {
  /** What the server_name extension lists; none leaves it out. */
  names?: readonly string[];
  /** More extensions, type and data, before server_name. */
  extensions?: readonly (readonly [number, Buffer])[];
  /** Bytes of a key share: it is what makes today's hellos long. Null: none, which asks for a HelloRetryRequest. */
  keyShare?: number | null;
  session?: Buffer;
}

export function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([u16(type), vector16(data)]);
}

/** The body of a server_name extension (RFC 6066 3). */
export function serverNames(names: readonly string[], type = 0): Buffer {
  const entries = names.map((name) =>
    Buffer.concat([Buffer.from([type]), vector16(Buffer.from(name, 'latin1'))]),
  );
  return vector16(Buffer.concat(entries));
}

/** The handshake message, its header included. */
export function clientHello(parts: HelloParts = {}): Buffer {
  const { names = ['allowed.example.com'], extensions = [], keyShare = 32 } = parts;
  const list = [
    ...extensions.map(([type, data]) => extension(type, data)),
    extension(43, Buffer.from('0403040303', 'hex')),
    extension(16, vector16(Buffer.from('\x02h2\x08http/1.1', 'latin1'))),
    extension(51, vector16(keyShare === null ? NONE : share(keyShare))),
    ...(names.length === 0 ? [] : [extension(0, serverNames(names))]),
  ];
  const session = parts.session ?? Buffer.alloc(32, 9);
  const body = Buffer.concat([
    Buffer.from('0303', 'hex'),
    Buffer.alloc(32, 5),
    Buffer.from([session.length]),
    session,
    vector16(Buffer.from('130113021303c02b', 'hex')),
    Buffer.from('0100', 'hex'),
    vector16(Buffer.concat(list)),
  ]);
  return handshake(1, body);
}

const NONE = Buffer.alloc(0);

/** For x25519. */
function share(bytes: number): Buffer {
  return Buffer.concat([u16(0x1d), vector16(Buffer.alloc(bytes, 7))]);
}

export function handshake(type: number, body: Buffer): Buffer {
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([header, body]);
}

/** A message as records of at most so many bytes. */
export function records(message: Buffer, size = 1 << 14, type = 22): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const fragment = message.subarray(at, at + size);
    parts.push(Buffer.from([type, 3, 1]), vector16(fragment));
  }
  return Buffer.concat(parts);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export function vector16(data: Buffer): Buffer {
  return Buffer.concat([u16(data.length), data]);
}
