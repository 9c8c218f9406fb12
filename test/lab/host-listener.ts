/**
 * A service on the lab's host itself: HTTP on a TCP port, echo on the same
 * UDP port, on every address. `host-listener.ts <lab name> <port>`.
 */
import { serveControl } from './internet/control.ts';
import { serveHttp } from './internet/http.ts';
import { Journal } from './internet/journal.ts';
import { serveUdpEcho } from './internet/plain.ts';
import { labPaths } from './paths.ts';

const [lab, port] = process.argv.slice(2);
if (lab === undefined || port === undefined) throw new Error('usage: host-listener.ts LAB PORT');
const paths = labPaths(lab).listener(Number(port));
const journal = new Journal(paths.journal);
await Promise.all([
  serveHttp(Number(port), journal),
  serveUdpEcho('0.0.0.0', Number(port), journal),
]);
await serveControl(paths.control, journal);
process.stdout.write('ready\n');
