package process

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// User is whom a process runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32
	Home   string
}

// Accounts is where users are looked up: the guest's own files, without NSS.
type Accounts struct {
	Passwd string
	Group  string
}

// SystemAccounts are the guest's accounts.
var SystemAccounts = Accounts{Passwd: "/etc/passwd", Group: "/etc/group"}

// Lookup resolves "user[:group]", each a name or a number; root when empty.
// As in Docker, a number needs no account (group 0, home /), and naming a
// group leaves the supplementary groups out.
func (a Accounts) Lookup(spec string) (User, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "root"
	}
	user, err := a.user(name)
	if err != nil {
		return User{}, err
	}
	if hasGroup {
		user.GID, err = a.group(group)
		return user, err
	}
	user.Groups, err = a.groupsOf(user.Name)
	return user, err
}

// passwd(5): name:password:UID:GID:comment:home:shell
func (a Accounts) user(name string) (User, error) {
	number, isNumber := parseID(name)
	found := User{Name: name, UID: number, Home: "/"}
	known := false
	err := eachLine(a.Passwd, func(fields []string) bool {
		if len(fields) < 6 {
			return true
		}
		uid, uidOk := parseID(fields[2])
		gid, gidOk := parseID(fields[3])
		if !uidOk || !gidOk || (fields[0] != name && !(isNumber && uid == number)) {
			return true
		}
		found = User{Name: fields[0], UID: uid, GID: gid, Home: fields[5]}
		known = true
		return false
	})
	if err != nil {
		return User{}, err
	}
	if !known && !isNumber {
		return User{}, fmt.Errorf("no user %q in the guest's %s", name, a.Passwd)
	}
	if found.Home == "" {
		found.Home = "/"
	}
	return found, nil
}

func (a Accounts) group(name string) (uint32, error) {
	number, isNumber := parseID(name)
	known := isNumber
	err := eachLine(a.Group, func(fields []string) bool {
		if len(fields) < 3 || fields[0] != name {
			return true
		}
		gid, ok := parseID(fields[2])
		if ok {
			number, known = gid, true
		}
		return !ok
	})
	if err == nil && !known {
		err = fmt.Errorf("no group %q in the guest's %s", name, a.Group)
	}
	return number, err
}

// group(5): name:password:GID:member,member
func (a Accounts) groupsOf(user string) ([]uint32, error) {
	var groups []uint32
	err := eachLine(a.Group, func(fields []string) bool {
		if len(fields) < 4 {
			return true
		}
		for _, member := range strings.Split(fields[3], ",") {
			if gid, ok := parseID(fields[2]); ok && member == user {
				groups = append(groups, gid)
			}
		}
		return true
	})
	return groups, err
}

// eachLine gives the colon-separated fields of every line until visit returns
// false. A missing file is an empty one.
func eachLine(path string, visit func(fields []string) bool) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if !visit(strings.Split(lines.Text(), ":")) {
			return nil
		}
	}
	return lines.Err()
}

// parseID accepts what the kernel does: 32 bits, but not -1.
func parseID(text string) (uint32, bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err == nil && id != 1<<32-1
}
