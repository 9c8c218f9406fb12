/**
 * The lab's internet: one process that serves everything on every address.
 * Started inside the internet's netns as `main.ts <lab name>`; says
 * "ready" on stdout once all listen.
 */
import { readFileSync } from 'node:fs';
import { labPaths } from '../paths.ts';
import * as world from '../world.ts';
import { serveControl } from './control.ts';
import { serveDns } from './dns.ts';
import { serveHttp, serveHttps } from './http.ts';
import { Journal } from './journal.ts';
import { serveLines, serveTcpEcho, serveUdpEcho } from './plain.ts';

const name = process.argv[2];
if (name === undefined) throw new Error('usage: main.ts <lab name>');
const paths = labPaths(name);
const journal = new Journal(paths.journal);
const certificate = {
  key: readFileSync(paths.serverKey, 'utf8'),
  cert: readFileSync(paths.serverCertificate, 'utf8'),
};

await Promise.all([
  serveDns(world.resolver.address, world.ports.dns, journal),
  serveDns(world.otherResolver.address, world.ports.dns, journal),
  serveHttp(world.ports.http, journal),
  serveHttps(world.ports.https, certificate, journal),
  serveTcpEcho(world.ports.echo, journal),
  serveLines(world.ports.lines, journal),
  ...[...world.internetAddresses, world.website.address6].map((address) =>
    serveUdpEcho(address, world.ports.echo, journal),
  ),
]);

await serveControl(paths.control, journal);
process.stdout.write('ready\n');
