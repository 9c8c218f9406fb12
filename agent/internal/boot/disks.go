package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Device nodes appear while their driver probes; ten seconds is far beyond
// what the slowest emulated boot needs.
const (
	deviceDeadline = 10 * time.Second
	devicePoll     = 2 * time.Millisecond
)

// findDisks gives the device nodes of the read-only base and of the VM's own
// disk. They are known by the serial the VMM gave them, never by their order.
func findDisks() (base, disk string, err error) {
	if base, err = await("disk with serial base", func() string { return findBlock("base") }); err != nil {
		return "", "", err
	}
	disk, err = await("disk with serial disk", func() string { return findBlock("disk") })
	return base, disk, err
}

// FindPort gives the device node of the virtio-serial port called name.
func FindPort(name string) (string, error) {
	return await("virtio port "+name, func() string {
		return deviceWhere("/sys/class/virtio-ports/*/name", name)
	})
}

func findBlock(serial string) string {
	return deviceWhere("/sys/block/*/serial", serial)
}

// deviceWhere gives the /dev node of the device whose attribute file reads
// value, or "".
func deviceWhere(pattern, value string) string {
	attributes, _ := filepath.Glob(pattern)
	for _, attribute := range attributes {
		text, err := os.ReadFile(attribute)
		if err != nil || strings.TrimSpace(string(text)) != value {
			continue
		}
		node := "/dev/" + filepath.Base(filepath.Dir(attribute))
		if _, err := os.Stat(node); err == nil {
			return node
		}
	}
	return ""
}

func await(what string, find func() string) (string, error) {
	for deadline := time.Now().Add(deviceDeadline); ; time.Sleep(devicePoll) {
		if found := find(); found != "" {
			return found, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no %s after %v", what, deviceDeadline)
		}
	}
}
