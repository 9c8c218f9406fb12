// The vmsan agent: PID 1 of every guest.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"time"

	"vmsan/agent/internal/boot"
	"vmsan/agent/internal/channel"
	"vmsan/agent/internal/machine"
	"vmsan/agent/internal/probe"
	"vmsan/agent/internal/process"
	"vmsan/agent/internal/service"
	"vmsan/agent/internal/tsc"
)

// Set by the build.
var (
	version = "dev"
	// Of proto/vmsan/v1/agent.proto; text, because the linker can set nothing
	// else. A test does.
	protocol = "1"
)

const (
	portName = "vmsan.agent"
	// A host that asked for the end hangs up as soon as it has the answer.
	hangUpDeadline = time.Second
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("vmsan-agent: ")
	if len(os.Args) == 2 && os.Args[1] == "tsc-khz" {
		printTSC()
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "probe" {
		if err := probe.Run(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	if os.Getpid() != 1 {
		log.Fatal("this is PID 1 of a vmsan guest; otherwise it only knows tsc-khz and probe")
	}
	outliveSignals()
	// PID 1 must not end: the kernel would panic. With panic=1 on the command
	// line that restarts the machine, which ends it, and the console says why.
	log.Fatal(run())
}

// outliveSignals keeps a `kill 1` in the guest from ending the machine. The
// kernel spares PID 1 only what it has no handler for, and the Go runtime
// handles everything. Asking for the signals is enough: those that find the
// channel full are dropped. Ignoring them instead would be inherited by every
// process.
func outliveSignals() {
	signal.Notify(make(chan os.Signal, 1))
}

func run() error {
	disk, err := boot.Root()
	if err != nil {
		return err
	}
	if err := machine.EnableLoopback(); err != nil {
		return err
	}
	if err := machine.RaiseFileLimit(); err != nil {
		return err
	}
	path, err := boot.FindPort(portName)
	if err != nil {
		return err
	}
	port, err := channel.Open(path)
	if err != nil {
		return err
	}
	spoken, err := strconv.ParseUint(protocol, 10, 32)
	if err != nil {
		return err
	}
	agent := &service.Agent{
		Version:  version,
		Protocol: uint32(spoken),
		Reaper:   process.NewReaper(),
		Disk:     disk,
		PowerOff: func() {
			port.AwaitHangUp(hangUpDeadline)
			log.Fatal(machine.PowerOff())
		},
	}
	return agent.Serve(port)
}

func printTSC() {
	khz, err := tsc.KHz()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(khz)
}
