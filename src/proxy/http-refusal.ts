import type { ProxyVerdict } from './options.ts';

const REASON_PHRASE = { 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway' } as const;

export interface Refused {
  status: keyof typeof REASON_PHRASE;
  verdict: ProxyVerdict;
  vmId: string;
  /** What a rule would have to name. */
  name: string | undefined;
}

/** A whole response that says why there is no other, for people and programs to read. */
export function refusal({ status, verdict, vmId, name }: Refused): string {
  const lines = [`vmsan: ${oneLine(verdict.reason)}`];
  if (verdict.rule !== '') lines.push(`rule: ${oneLine(verdict.rule)}`);
  if (name !== undefined) {
    lines.push(`hint: on the host, "vmsan network ${vmId}" shows the policy and changes it;`);
    lines.push(`      --allowed-domain would have to name ${name}`);
  }
  const body = `${lines.join('\n')}\n`;
  return [
    `HTTP/1.1 ${status} ${REASON_PHRASE[status]}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]+/g, ' ');
}
