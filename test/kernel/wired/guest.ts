import { read, write } from 'node:fs';
import { inNetns, openTap } from '../../../src/host/ffi.ts';
import { ipBatch } from '../../../src/host/ip.ts';
import { run } from '../../../src/host/run.ts';
import { writeSysctl } from '../../../src/host/sysctl.ts';
import type { VmNetwork } from '../../../src/net/plan.ts';
import { takeOffloads } from './offloads.ts';

/** Longer than any frame with its virtio-net header. */
const FRAME_BYTES = 70_000;

/** `struct virtio_net_hdr` of a frame with nothing to say: 10 zero bytes (linux/virtio_net.h). */
const NO_OFFLOADS = Buffer.alloc(10);

/**
 * A guest without a VM: a netns whose eth0 is a TAP, each of its frames passed
 * to the VM's TAP and back, as QEMU does. Everything between that TAP and the
 * world is what a VM gets; curl and dig in the netns stand for its programs.
 */
export class WiredGuest {
  readonly netns: string;
  readonly #vmTap: number;

  private constructor(netns: string, vmTap: number) {
    this.netns = netns;
    this.#vmTap = vmTap;
  }

  /** @param vmTap the VM's open TAP; the guest has it from now on */
  static async connect(vm: VmNetwork, vmTap: number): Promise<WiredGuest> {
    const netns = `guest-${vm.slot}`;
    await run(['ip', 'netns', 'add', netns]);
    const ownTap = inNetns(`/run/netns/${netns}`, () => {
      writeSysctl('net/ipv6/conf/all/disable_ipv6', '1');
      writeSysctl('net/ipv6/conf/default/disable_ipv6', '1');
      return openTap('eth0');
    });
    await ipBatch(netns, [
      'link set dev lo up',
      `link set dev eth0 address ${vm.guestMac}`,
      `address add ${vm.guestIp}/30 dev eth0`,
      'link set dev eth0 up',
      `route add default via ${vm.gatewayIp}`,
    ]);
    const guest = new WiredGuest(netns, vmTap);
    takeOffloads(ownTap);
    takeOffloads(vmTap);
    pass(ownTap, vmTap);
    pass(vmTap, ownTap);
    return guest;
  }

  /** Puts one Ethernet frame on the VM's wire, whatever it says. */
  sendFrame(frame: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      write(this.#vmTap, Buffer.concat([NO_OFFLOADS, frame]), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }
}

/**
 * Passes frames on for as long as this process lives. Nothing is closed before:
 * a read or write under way would go to whoever gets that descriptor next.
 */
function pass(from: number, to: number): void {
  const buffer = Buffer.alloc(FRAME_BYTES);
  read(from, buffer, 0, buffer.length, null, (error, bytes) => {
    if (error !== null) return;
    write(to, buffer, 0, bytes, null, () => pass(from, to));
  });
}
