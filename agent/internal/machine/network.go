// Package machine changes what belongs to the guest as a whole: its network,
// name, clock, entropy and power.
package machine

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

const (
	interfaceName = "eth0"
	// The VM's subnet is its own /30: the gateway and the guest.
	prefixLength = 30
)

// Network is the guest's whole IPv4 configuration.
type Network struct {
	Address, Gateway net.IP
	MTU              int
}

// EnableLoopback brings lo up; the guest's own services need it whatever its
// network is.
func EnableLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// SetNetwork makes eth0 carry exactly this configuration.
func SetNetwork(wanted Network) error {
	link, err := netlink.LinkByName(interfaceName)
	if err != nil {
		return fmt.Errorf("%s: %w", interfaceName, err)
	}
	// Guests have no IPv6; an address the kernel makes up by itself would only
	// cost frames that the host drops.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+interfaceName+"/disable_ipv6", []byte("1"), 0); err != nil {
		return err
	}
	if wanted.MTU > 0 {
		if err := netlink.LinkSetMTU(link, wanted.MTU); err != nil {
			return fmt.Errorf("mtu %d: %w", wanted.MTU, err)
		}
	}
	if err := setAddress(link, wanted.Address); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("%s up: %w", interfaceName, err)
	}
	err = netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: wanted.Gateway})
	if err != nil {
		return fmt.Errorf("default route via %s: %w", wanted.Gateway, err)
	}
	return nil
}

func setAddress(link netlink.Link, address net.IP) error {
	wanted := &net.IPNet{IP: address, Mask: net.CIDRMask(prefixLength, 32)}
	present, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, other := range present {
		if other.IPNet.String() == wanted.String() {
			continue
		}
		if err := netlink.AddrDel(link, &other); err != nil {
			return fmt.Errorf("remove %s: %w", other.IPNet, err)
		}
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: wanted}); err != nil {
		return fmt.Errorf("address %s: %w", wanted, err)
	}
	return nil
}
