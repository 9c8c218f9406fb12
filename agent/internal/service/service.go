// Package service answers the host: vmsan.v1.AgentService.
package service

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/gen/vmsan/v1/vmsanv1connect"
	"vmsan/agent/internal/channel"
	"vmsan/agent/internal/machine"
	"vmsan/agent/internal/process"
)

const (
	maxMessage = 4 << 20
	// Unread stdin fills a stream's window. All running execs together must not
	// fill the connection's, or no Shutdown could get through.
	maxExecs         = 32
	streamWindow     = 64 << 10
	connectionWindow = 3 << 20
)

// Disk is what Shutdown needs of the VM's disk.
type Disk interface {
	Release() error
}

// Agent implements AgentService.
type Agent struct {
	Version  string
	Protocol uint32
	Reaper   *process.Reaper
	Disk     Disk
	// PowerOff is called once Shutdown has been answered and the host has hung
	// up.
	PowerOff func()

	execs execs
}

var _ vmsanv1connect.AgentServiceHandler = (*Agent)(nil)

// Serve answers on the port for the life of the guest.
func (a *Agent) Serve(port net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle(vmsanv1connect.NewAgentServiceHandler(a,
		connect.WithReadMaxBytes(maxMessage),
		connect.WithSendMaxBytes(maxMessage),
		// No compression: the channel is memory, and a bomb costs the reader.
		connect.WithCompression("gzip", nil, nil),
	))
	server := &http.Server{
		Handler:     mux,
		Protocols:   new(http.Protocols),
		ConnContext: withConnection,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          2 * maxExecs,
			MaxReadFrameSize:              channel.MaxFrameSize,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
		},
	}
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(port)
}

// Describe implements AgentService.
func (a *Agent) Describe(
	context.Context, *connect.Request[vmsanv1.DescribeRequest],
) (*connect.Response[vmsanv1.DescribeResponse], error) {
	return connect.NewResponse(&vmsanv1.DescribeResponse{Protocol: a.Protocol, Version: a.Version}), nil
}

// Configure implements AgentService.
func (a *Agent) Configure(
	_ context.Context, request *connect.Request[vmsanv1.ConfigureRequest],
) (*connect.Response[vmsanv1.ConfigureResponse], error) {
	wanted := request.Msg
	if err := configure(wanted); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&vmsanv1.ConfigureResponse{
		AgentVersion:  a.Version,
		KernelRelease: unix.ByteSliceToString(kernel.Release[:]),
	}), nil
}

// configure takes entropy first: whatever runs after it draws from it.
func configure(wanted *vmsanv1.ConfigureRequest) error {
	if len(wanted.Entropy) > 0 {
		if err := machine.AddEntropy(wanted.Entropy); err != nil {
			return err
		}
	}
	if wanted.TimeUnixNano != 0 {
		if err := machine.SetClock(time.Unix(0, wanted.TimeUnixNano)); err != nil {
			return err
		}
	}
	if wanted.Hostname != "" {
		if err := machine.SetHostname(wanted.Hostname, wanted.Network.GetAddress()); err != nil {
			return err
		}
	}
	if wanted.Network == nil {
		return nil
	}
	return configureNetwork(wanted.Network)
}

func configureNetwork(wanted *vmsanv1.GuestNetwork) error {
	address, err := parseIPv4("address", wanted.Address)
	if err != nil {
		return err
	}
	gateway, err := parseIPv4("gateway", wanted.Gateway)
	if err != nil {
		return err
	}
	if err := machine.SetNameservers(wanted.Nameservers); err != nil {
		return err
	}
	return machine.SetNetwork(machine.Network{Address: address, Gateway: gateway, MTU: int(wanted.Mtu)})
}

func parseIPv4(what, text string) (net.IP, error) {
	if ip := net.ParseIP(text).To4(); ip != nil {
		return ip, nil
	}
	return nil, fmt.Errorf("%s %q is not an IPv4 address", what, text)
}

// Shutdown implements AgentService. The host hangs up when it has the answer,
// and that turns the power off.
func (a *Agent) Shutdown(
	_ context.Context, request *connect.Request[vmsanv1.ShutdownRequest],
) (*connect.Response[vmsanv1.ShutdownResponse], error) {
	machine.EndProcesses(a.Reaper, time.Duration(request.Msg.GraceMs)*time.Millisecond)
	// All has been written even if the disk could not be made read-only.
	err := a.Disk.Release()
	go a.PowerOff()
	if err != nil {
		log.Printf("shutdown: %v", err)
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&vmsanv1.ShutdownResponse{}), nil
}
