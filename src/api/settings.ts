import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import ipaddr from 'ipaddr.js';
import { Failure, isErrno, messageOf } from '../host/failure.ts';

/**
 * Everything about a host that can be set, in one typed place. A value comes
 * from the environment (`VMSAN_STATE_DIR`), else from /etc/vmsan/config.json
 * (`{"stateDir": …}`), else from the default here.
 */
export interface Settings {
  /** What survives a reboot: the database and the VMs' disks. */
  stateDir: string;
  /** What does not: sockets, pid files. */
  runDir: string;
  /** Built kernels, initramfs and root file systems, by the hash of their recipe. */
  cacheDir: string;
  /** Guests get 172.16.{slot}.0/30 out of it. */
  subnetPool: string;
  /** The /31 between each VM's netns and the host come out of it. */
  transitPool: string;
  /** Resolvers the gate asks. Empty: the host's, from /etc/resolv.conf. */
  dns: string[];
  accel: 'auto' | 'kvm' | 'tcg';
  /** Networks made ahead for VMs to come, while there is a VM. */
  readyNetworks: number;
  /** A loopback address and port where a scraper gets metrics; empty: nowhere. */
  metrics: string;
}

export const CONFIG_FILE = '/etc/vmsan/config.json';

const text = v.string('must be text');
const path = v.pipe(text, v.regex(/^\/[^\0]*$/, 'must be an absolute path'));
const pool = v.pipe(
  text,
  v.check(isPool, 'must be an IPv4 network such as 172.16.0.0/16, /8 to /24'),
);
const resolver = v.pipe(
  text,
  v.check((address) => ipaddr.IPv4.isValidFourPartDecimal(address), 'must be an IPv4 address'),
);

const count = v.pipe(
  v.unknown(),
  v.transform(Number),
  v.check((n) => Number.isInteger(n) && n >= 0 && n <= 64, 'must be a number from 0 to 64'),
);

const loopback = v.pipe(
  v.string('must be 127.0.0.1:PORT'),
  v.check(isLoopbackPort, 'must be a loopback address with a port, such as 127.0.0.1:9464'),
);

const entries = {
  stateDir: v.optional(path, '/var/lib/vmsan'),
  runDir: v.optional(path, '/run/vmsan'),
  cacheDir: v.optional(path, '/var/cache/vmsan'),
  subnetPool: v.optional(pool, '172.16.0.0/16'),
  transitPool: v.optional(pool, '10.200.0.0/16'),
  dns: v.optional(v.array(resolver, 'must be a list of IPv4 addresses'), []),
  accel: v.optional(v.picklist(['auto', 'kvm', 'tcg'], 'must be auto, kvm or tcg'), 'auto'),
  readyNetworks: v.optional(count, 0),
  metrics: v.optional(loopback, ''),
};
const schema = v.strictObject(entries, 'is not a setting');

/** Where each setting is read from in the environment. */
const VARIABLES = {
  stateDir: 'VMSAN_STATE_DIR',
  runDir: 'VMSAN_RUN_DIR',
  cacheDir: 'VMSAN_CACHE_DIR',
  subnetPool: 'VMSAN_SUBNET_POOL',
  transitPool: 'VMSAN_TRANSIT_POOL',
  dns: 'VMSAN_DNS',
  accel: 'VMSAN_ACCEL',
  readyNetworks: 'VMSAN_READY_NETWORKS',
  metrics: 'VMSAN_METRICS',
} as const satisfies Record<keyof Settings, string>;

/**
 * Reads the settings of this host and environment.
 * @throws Failure `bad_input` that names the variable or the file's key
 */
export function loadSettings(env: NodeJS.ProcessEnv = process.env, file = CONFIG_FILE): Settings {
  const fromFile = readConfigFile(file);
  const fromEnv: Record<string, unknown> = {};
  for (const [key, variable] of Object.entries(VARIABLES)) {
    const text = env[variable];
    if (text !== undefined && text !== '') fromEnv[key] = key === 'dns' ? text.split(',') : text;
  }
  const result = v.safeParse(schema, { ...fromFile, ...fromEnv });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const key = String(issue.path?.[0]?.key ?? '');
  const where = key in fromEnv ? VARIABLES[key as keyof Settings] : `${file}: ${key}`;
  throw new Failure('bad_input', `${where}: ${issue.message}`);
}

/** The environment in which `loadSettings` gives `settings` again. */
export function settingsEnv(settings: Settings): Record<string, string> {
  return Object.fromEntries(
    Object.entries(VARIABLES).map(([key, variable]) => [
      variable,
      String(settings[key as keyof Settings]),
    ]),
  );
}

/** "" is none. */
function isLoopbackPort(text: string): boolean {
  const [address = '', port = '', ...more] = text.split(':');
  if (text === '') return true;
  if (more.length > 0 || !ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  return address.startsWith('127.') && /^[1-9]\d{0,4}$/.test(port) && Number(port) < 65_536;
}

function readConfigFile(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return {};
    throw new Failure('unavailable', `${file} cannot be read`, { cause: error });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
    throw new TypeError('not a JSON object');
  } catch (error) {
    throw new Failure('bad_input', `${file}: ${messageOf(error)}`, { cause: error });
  }
}

function isPool(text: string): boolean {
  if (!ipaddr.IPv4.isValidCIDR(text)) return false;
  const [address, prefix] = ipaddr.IPv4.parseCIDR(text);
  const network = ipaddr.IPv4.networkAddressFromCIDR(text);
  return prefix >= 8 && prefix <= 24 && address.toString() === network.toString();
}
