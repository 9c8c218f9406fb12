import { PolicyError } from './error.ts';

/** How much a VM may send and receive, in bits of its frames a second; null: as much as there is. */
export interface Bandwidth {
  out: number | null;
  in: number | null;
}

export const UNLIMITED: Bandwidth = { out: null, in: null };

export function isLimited(bandwidth: Bandwidth): boolean {
  return bandwidth.out !== null || bandwidth.in !== null;
}

/** What takes a limit away. */
const NONE = 'none';

/**
 * The least leaves a frame waiting for 190 ms; the most is more than any link
 * of today carries.
 */
export const RATE = { min: 64_000, max: 100_000_000_000 } as const;

/** As tc(8) has them: bits a second, or bytes (`bps`), in powers of 1000 or (`ki`) of 1024. */
const UNIT = /^(ki|mi|gi|ti|k|m|g|t|)(bit|bps)$/;
const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/**
 * A rate as tc(8) writes it: `50mbit`, `1.5gbit`, `6mbps`, or a bare number of bits a second.
 * @returns bits a second; null for `none`
 * @throws PolicyError
 */
export function readRate(text: string): number | null {
  if (text === NONE) return null;
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([a-z]*)$/i.exec(text);
  const unit = UNIT.exec(match?.[2] === '' ? 'bit' : (match?.[2] ?? '').toLowerCase());
  if (match === null || unit === null) {
    throw new PolicyError(
      `"${text}" is not a rate`,
      'write it as tc does, such as 50mbit, 1.5gbit or 6mbps (bytes), or "none"',
    );
  }
  const factor = FACTORS[unit[1] ?? '']! * (unit[2] === 'bps' ? 8 : 1);
  return checkRate(Math.round(Number(match[1]) * factor), text);
}

/** @returns `rate`, in bits a second, when it is one that can be set @throws PolicyError */
export function checkRate(rate: number, said = rateText(rate)): number {
  if (Number.isSafeInteger(rate) && rate >= RATE.min && rate <= RATE.max) return rate;
  throw new PolicyError(
    `"${said}" is not a rate from ${rateText(RATE.min)} to ${rateText(RATE.max)}`,
  );
}

/** The shortest exact way to write a rate: `50mbit`, `1500kbit`, `none`. */
export function rateText(rate: number | null): string {
  if (rate === null) return NONE;
  const unit = (['g', 'm', 'k'] as const).find(
    (prefix) => rate > 0 && rate % FACTORS[prefix]! === 0,
  );
  return `${rate / FACTORS[unit ?? '']!}${unit ?? ''}bit`;
}
