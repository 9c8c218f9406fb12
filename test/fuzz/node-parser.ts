/** Node's own HTTP parser (llhttp), called directly: fast, and in this thread. */
import { createRequire } from 'node:module';

interface Parser {
  initialize(type: number, resource: object, maxHeaderSize: number): void;
  execute(bytes: Buffer): number | Error;
  [callback: number]: unknown;
}

interface Binding {
  HTTPParser: {
    new (): Parser;
    REQUEST: number;
    kOnHeadersComplete: number;
    kOnHeaders: number;
    kOnMessageComplete: number;
  };
  methods: string[];
}

// Not documented; what is documented is a server, which is slow to ask for each input.
const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common') as Binding;

/** A request as Node reads it. */
export interface NodeRequest {
  method: string | undefined;
  url: string;
  hosts: string[];
  keepAlive: boolean;
  upgrade: boolean;
}

const MAX_HEADER = 1 << 17;
/** One for all: each holds memory that is not the collector's. */
const parser = new HTTPParser();

/** @returns the requests whose heads it read, or its error */
export function readAsNode(bytes: Buffer): NodeRequest[] | Error {
  const requests: NodeRequest[] = [];
  parser.initialize(HTTPParser.REQUEST, {}, MAX_HEADER);
  let early: string[] = [];
  let earlyUrl = '';
  // Given in parts when there are more than 32 fields.
  parser[HTTPParser.kOnHeaders] = (headers: string[], url: string) => {
    early.push(...headers);
    earlyUrl += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    headers: string[] | undefined,
    method: number,
    url: string | undefined,
    _status: number,
    _message: string,
    upgrade: boolean,
    keepAlive: boolean,
  ) => {
    const fields = [...early, ...(headers ?? [])];
    const hosts = fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === 'host');
    requests.push({
      method: methods[method],
      url: earlyUrl + (url ?? ''),
      hosts,
      keepAlive,
      upgrade,
    });
    early = [];
    earlyUrl = '';
    return 0;
  };
  // Trailers come as early fields do.
  parser[HTTPParser.kOnMessageComplete] = () => {
    early = [];
    earlyUrl = '';
  };
  const result = parser.execute(bytes);
  return result instanceof Error ? result : requests;
}
