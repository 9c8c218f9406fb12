import type { NetworkJson, PortJson } from './vm.ts';

/** Published ports, neighbours as one: `0.0.0.0:8000-8010 -> 8000-8010/tcp`. */
export function portLines(ports: readonly PortJson[]): string[] {
  const spans: { first: PortJson; count: number }[] = [];
  for (const port of ports.toSorted(inOrder)) {
    const span = spans.at(-1);
    if (span !== undefined && follows(port, span)) span.count += 1;
    else spans.push({ first: port, count: 1 });
  }
  return spans.map(({ first: { protocol, address, hostPort, guestPort }, count }) => {
    const range = (from: number) => (count === 1 ? `${from}` : `${from}-${from + count - 1}`);
    return `${address}:${range(hostPort)} -> ${range(guestPort)}/${protocol}`;
  });
}

/** Ports that only one of two has, a line each. */
export function portChanges(before: NetworkJson, after: NetworkJson): string[] {
  const [was, is] = [before, after].map((network) => portLines(network.publishedPorts));
  return [
    ...was!.filter((line) => !is!.includes(line)).map((line) => `- published ${line}`),
    ...is!.filter((line) => !was!.includes(line)).map((line) => `+ published ${line}`),
  ];
}

function follows(port: PortJson, { first, count }: { first: PortJson; count: number }): boolean {
  return (
    port.protocol === first.protocol &&
    port.address === first.address &&
    port.hostPort !== 0 &&
    port.hostPort === first.hostPort + count &&
    port.guestPort === first.guestPort + count
  );
}

function inOrder(a: PortJson, b: PortJson): number {
  return (
    a.protocol.localeCompare(b.protocol) ||
    a.address.localeCompare(b.address) ||
    a.hostPort - b.hostPort
  );
}
