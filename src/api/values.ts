import { Failure } from '../host/failure.ts';
import { readCidrs } from '../policy/cidr.ts';
import { checkRate, readRate } from '../policy/bandwidth.ts';
import { parseDomains } from '../policy/domain-list.ts';
import {
  parsePortSelections,
  parsePublishedPorts,
  type PortSelection,
  type PublishedPort,
} from '../policy/published-ports.ts';
import {
  PolicyError,
  readBase,
  readPolicy,
  type PolicyBase,
  type PolicyWords,
  type ReadPolicy,
  type Surroundings,
} from '../policy/policy.ts';

/**
 * The values of a VM that a user may choose, read from text. The CLI reads its
 * flags with these and the daemon checks requests with the same limits, so
 * that curl is held to what the CLI is held to. Every error is `bad_input`.
 */

const MIB = 1024n * 1024n;
const UNITS: Readonly<Record<string, bigint>> = {
  m: MIB,
  g: MIB * 1024n,
  t: MIB * 1024n * 1024n,
};

export const VCPUS = { min: 1, max: 32, default: 1 } as const;
/** A guest below 128 MiB does not get through its own boot. */
export const MEMORY_MIB = { min: 128, max: 1024 * 1024, default: 512 } as const;
/** ext4 with 4 KiB blocks ends at 16 TiB. */
export const DISK_BYTES = {
  min: 64n * MIB,
  max: 16n * 1024n * 1024n * MIB,
  default: 10n * 1024n * MIB,
} as const;

/** How long a guest may take to shut down: nobody waits longer than a day. */
const GRACE_SECONDS_MAX = 86_400;

/** One DNS label (RFC 1123 section 2.1), because it becomes the guest's hostname. */
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Whole ids, which would name two VMs, and what `<vm>` takes for a prefix of one. */
const LIKE_AN_ID = /^vm-[0-9a-f]{1,8}$/;

/** A VM's name: a lower-case DNS label that cannot be taken for an id. */
export function parseName(text: string): string {
  if (!NAME.test(text)) {
    throw new Failure('bad_input', `"${text}" cannot be a VM's name`, {
      hint: 'use 1 to 63 of a-z, 0-9 and "-", with a letter or digit at both ends',
    });
  }
  if (LIKE_AN_ID.test(text)) {
    throw new Failure('bad_input', `"${text}" cannot be a VM's name: it looks like an id`);
  }
  return text;
}

/** A whole number of vCPUs. */
export function parseVcpus(text: string): number {
  return checkVcpus(/^\d{1,9}$/.test(text) ? Number(text) : NaN, text);
}

/** @returns `vcpus` when it is allowed */
export function checkVcpus(vcpus: number, said = String(vcpus)): number {
  if (Number.isInteger(vcpus) && vcpus >= VCPUS.min && vcpus <= VCPUS.max) return vcpus;
  throw new Failure(
    'bad_input',
    `"${said}" is not a number of vCPUs from ${VCPUS.min} to ${VCPUS.max}`,
  );
}

/** Memory in MiB, from `512`, `512m`, `1.5g`, `1GiB`; a bare number means MiB. */
export function parseMemory(text: string): number {
  const bytes = parseSize(text, 'memory size', MIB);
  return checkMemory(Number(bytes / MIB), text);
}

/** @returns `mib` when it is allowed */
export function checkMemory(mib: number, said = `${mib}m`): number {
  if (Number.isInteger(mib) && mib >= MEMORY_MIB.min && mib <= MEMORY_MIB.max) return mib;
  throw new Failure(
    'bad_input',
    `"${said}" is not a memory size from ${MEMORY_MIB.min}m to ${MEMORY_MIB.max / 1024}g`,
  );
}

/** A disk's size in bytes, from `10g`, `500m`, `1TiB`; a bare number is an error. */
export function parseDisk(text: string): bigint {
  return checkDisk(parseSize(text, 'disk size', undefined), text);
}

/** @returns `bytes` when it is allowed */
export function checkDisk(bytes: bigint, said = `${bytes}`): bigint {
  if (bytes >= DISK_BYTES.min && bytes <= DISK_BYTES.max) return bytes;
  throw new Failure('bad_input', `"${said}" is not a disk size from 64m to 16t`);
}

/** Whole seconds, at most a day. */
export function parseSeconds(text: string): number {
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (seconds <= GRACE_SECONDS_MAX) return seconds;
  throw new Failure(
    'bad_input',
    `"${text}" is not a number of seconds from 0 to ${GRACE_SECONDS_MAX}`,
  );
}

/** A grace in milliseconds, when it is allowed. */
export function checkGrace(graceMs: number): number {
  if (graceMs <= GRACE_SECONDS_MAX * 1000) return graceMs;
  throw new Failure('bad_input', `a grace of ${graceMs} ms is longer than a day`);
}

/** A network policy from its parts, as `readPolicy` reads it, with `bad_input` for its errors. */
export function policyOf(words: PolicyWords, world?: Surroundings): ReadPolicy {
  return asBadInput(() => readPolicy(words, world));
}

/** The value of `--network-policy`. */
export function parseBase(text: string): PolicyBase {
  return asBadInput(() => readBase(text));
}

/** The value of a list of networks, after what the flag gave before. Entries stay as they were written. */
export function parseNetworks(text: string, before: readonly string[] = []): string[] {
  return asBadInput(() => [...before, ...readCidrs([text])]);
}

/** The value of a list of names, after what the flag gave before; canonical. */
export function parseNames(text: string, before: readonly string[] = []): string[] {
  return asBadInput(() => [...before, ...parseDomains([text]).map((rule) => rule.text)]);
}

/** A rate in bits a second, as tc(8) writes it; null for `none`. */
export function parseRate(text: string): number | null {
  return asBadInput(() => readRate(text));
}

/** A rate as requests carry it, when it is allowed: 0 is none. */
export function rateOf(said: bigint): number | null {
  return said === 0n ? null : asBadInput(() => checkRate(Number(said)));
}

/** The value of `--publish-port`, after what the flag gave before. Entries stay as they were written. */
export function parsePorts(text: string, before: readonly string[] = []): string[] {
  portsOf([...before, text]);
  return [...before, text];
}

/** The value of `--unpublish-port`, as `parsePorts`. */
export function parseUnpublished(text: string, before: readonly string[] = []): string[] {
  selectionsOf([text]);
  return [...before, text];
}

/** What `--publish-port` means, with `bad_input` for its errors. */
export function portsOf(texts: readonly string[]): PublishedPort[] {
  return asBadInput(() => parsePublishedPorts(texts));
}

/** What `--unpublish-port` means, with `bad_input` for its errors. */
export function selectionsOf(texts: readonly string[]): PortSelection[] {
  return asBadInput(() => parsePortSelections(texts));
}

function asBadInput<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const { message, hint } = error;
    throw new Failure('bad_input', message, hint === undefined ? {} : { hint });
  }
}

/** Units are powers of 1024, spelt `g`, `gb` or `gib`, whole MiB only. */
function parseSize(text: string, what: string, bare: bigint | undefined): bigint {
  const match = /^(\d{1,9})(?:\.(\d{1,3}))?(?:([mgt])(?:i?b)?)?$/i.exec(text.trim());
  const unit = match?.[3] === undefined ? bare : UNITS[match[3].toLowerCase()];
  if (match !== null && unit !== undefined) {
    const fraction = match[2] ?? '';
    const scale = 10n ** BigInt(fraction.length);
    const scaled = BigInt(`${match[1]}${fraction}`) * unit;
    if (scaled % (scale * MIB) === 0n) return scaled / scale;
  }
  throw new Failure('bad_input', `"${text}" is not a ${what}`, {
    hint: 'write a whole number of MiB with its unit, such as 512m or 10g',
  });
}
