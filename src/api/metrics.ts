import type { VmUsage } from './usage.ts';

/** The content type of `renderMetrics` over HTTP. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Metric {
  name: string;
  type: 'counter' | 'gauge';
  help: string;
  samples(vm: VmUsage): [value: number, labels?: Record<string, string>][];
}

const METRICS: readonly Metric[] = [
  gauge('up', 'Whether the VM runs.', ({ running }) => (running ? 1 : 0)),
  counter('cpu_seconds_total', 'Processor time.', ({ cpuSeconds }) => cpuSeconds),
  gauge('memory_bytes', 'Memory of the host in use.', ({ memoryBytes }) => memoryBytes),
  counter('sent_bytes_total', 'Frames that the VM sent.', ({ sentBytes }) => sentBytes),
  counter('sent_packets_total', 'Frames that the VM sent.', ({ sentPackets }) => sentPackets),
  counter('received_bytes_total', 'Frames that the VM got.', (vm) => vm.receivedBytes),
  counter('received_packets_total', 'Frames that the VM got.', (vm) => vm.receivedPackets),
  {
    name: 'vmsan_vm_dropped_packets_total',
    type: 'counter',
    help: 'Packets of the VM and for it that went no further, by reason.',
    samples: ({ drops }) => drops.map(({ reason, packets }) => [packets, { reason }]),
  },
];

/**
 * The text of the Prometheus exposition format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Labels are a
 * VM's id and name, and words of our own: nothing that a guest wrote. Written
 * here, for the format is a line for each number, and a client library would
 * keep registers of what the kernel counts already.
 */
export function renderMetrics(vms: readonly VmUsage[]): string {
  return METRICS.map(({ name, type, help, samples }) => {
    const lines = vms.flatMap((vm) =>
      samples(vm).map(([value, labels]) => {
        const all = { id: vm.id, name: vm.name, ...labels };
        const text = Object.entries(all).map(([label, word]) => `${label}="${escaped(word)}"`);
        return `${name}{${text.join(',')}} ${value}\n`;
      }),
    );
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
  }).join('');
}

function gauge(name: string, help: string, value: (vm: VmUsage) => number): Metric {
  return { name: `vmsan_vm_${name}`, type: 'gauge', help, samples: (vm) => [[value(vm)]] };
}

function counter(name: string, help: string, value: (vm: VmUsage) => number): Metric {
  return { ...gauge(name, help, value), type: 'counter' };
}

function escaped(word: string): string {
  return word.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
