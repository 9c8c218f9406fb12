import { Failure } from '../../host/failure.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const FORMAT = /^(\d{1,9})([smhd])$/;

/** `30s`, `5m`, `2h`, `1d`, in milliseconds. @throws Failure `bad_input` */
export function durationOf(text: string): number {
  const [, number = '', unit = ''] = FORMAT.exec(text) ?? [];
  const milliseconds = Number(number) * (UNITS[unit] ?? NaN) * 1000;
  if (number !== '' && milliseconds > 0) return milliseconds;
  throw new Failure('bad_input', `"${text}" is no length of time`, {
    hint: 'a number above 0 and s, m, h or d: 30s, 5m, 2h',
  });
}
