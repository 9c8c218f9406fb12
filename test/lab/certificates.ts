import { run } from '../../src/host/run.ts';
import type { LabPaths } from './paths.ts';
import * as world from './world.ts';

/** Makes the lab's own CA and one certificate for all of its names and addresses. */
export async function makeCertificates(paths: LabPaths): Promise<void> {
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30'.split(' ');
  const names = [
    ...world.certifiedNames.map((name) => `DNS:${name}`),
    ...world.internetAddresses.map((address) => `IP:${address}`),
  ];
  await run([
    ...['openssl', 'req', '-x509', ...key, '-subj', '/CN=vmsan lab CA'],
    ...['-addext', 'keyUsage=critical,keyCertSign'],
    ...['-keyout', paths.caKey, '-out', paths.ca],
  ]);
  await run([
    ...['openssl', 'req', '-x509', ...key, '-subj', '/CN=vmsan lab'],
    ...['-CA', paths.ca, '-CAkey', paths.caKey],
    ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-addext', `subjectAltName=${names.join(',')}`],
    ...['-keyout', paths.serverKey, '-out', paths.serverCertificate],
  ]);
}
