package process

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func accounts(t *testing.T) Accounts {
	t.Helper()
	dir := t.TempDir()
	a := Accounts{Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group")}
	files := map[string]string{
		a.Passwd: "root:x:0:0:root:/root:/bin/bash\n" +
			"broken line\n" +
			"vmsan:x:1000:1000::/home/vmsan:/bin/bash\n" +
			"homeless:x:1001:1001:::/bin/sh\n",
		a.Group: "root:x:0:\nvmsan:x:1000:\naudio:x:29:someone,vmsan\nvideo:x:44:vmsan\nbad:x:no:vmsan\n",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestLookup(t *testing.T) {
	a := accounts(t)
	vmsan := User{Name: "vmsan", UID: 1000, GID: 1000, Groups: []uint32{29, 44}, Home: "/home/vmsan"}
	grouped := vmsan
	grouped.GID, grouped.Groups = 44, nil
	for spec, want := range map[string]User{
		"":            {Name: "root", Home: "/root"},
		"root":        {Name: "root", Home: "/root"},
		"vmsan":       vmsan,
		"1000":        vmsan,
		"vmsan:video": grouped,
		"vmsan:44":    grouped,
		"homeless":    {Name: "homeless", UID: 1001, GID: 1001, Home: "/"},
		"4242":        {Name: "4242", UID: 4242, Home: "/"},
		"4242:7":      {Name: "4242", UID: 4242, GID: 7, Home: "/"},
	} {
		if got, err := a.Lookup(spec); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v; want %+v", spec, got, err, want)
		}
	}
}

func TestLookupRefusesWhomTheGuestDoesNotKnow(t *testing.T) {
	a := accounts(t)
	for _, spec := range []string{"nobody-here", "vmsan:nothing", "vmsan:", "-1", "4294967295", "1000000000000"} {
		if got, err := a.Lookup(spec); err == nil {
			t.Errorf("%q: got %+v", spec, got)
		}
	}
}

func TestLookupWithoutFiles(t *testing.T) {
	none := Accounts{Passwd: "/no/such/file", Group: "/no/such/file"}
	if got, err := none.Lookup("5"); err != nil || got.UID != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := none.Lookup("root"); err == nil {
		t.Error("root was found nowhere")
	}
}
