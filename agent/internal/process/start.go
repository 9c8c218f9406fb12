package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Docker's codes for a process that never ran.
const (
	CodeFailed       = 125
	CodeCannotInvoke = 126
	CodeNotFound     = 127
)

// StartError says why a process was not started.
type StartError struct {
	Code    uint32
	Message string
}

func (e *StartError) Error() string { return e.Message }

// Command is what to run. Cwd and Env are complete: see Prepare.
type Command struct {
	Argv  []string
	Env   []string
	Cwd   string
	User  User
	Stdin bool
	// Nil: no terminal.
	Terminal *Size
}

// Process is a running command, the leader of its own session and group.
type Process struct {
	Pid int
	// Nil unless the command asked for stdin.
	Stdin *os.File
	// In a terminal Stdout is all output and Stderr nil.
	Stdout, Stderr *os.File

	terminal bool
	reaper   *Reaper
	ended    <-chan unix.WaitStatus
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Environment is what a user's processes start with; extra KEY=VALUE pairs
// win over it.
func Environment(user User, extra []string) []string {
	return dedupe(append([]string{
		"PATH=" + defaultPath,
		"HOME=" + user.Home,
		"USER=" + user.Name,
		"LANG=C.UTF-8",
	}, extra...))
}

// dedupe keeps the last value of every name, in the place of the first.
func dedupe(env []string) []string {
	at := map[string]int{}
	var kept []string
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if i, seen := at[name]; seen {
			kept[i] = pair
			continue
		}
		at[name] = len(kept)
		kept = append(kept, pair)
	}
	return kept
}

// Start runs a command. The error is a *StartError.
func (r *Reaper) Start(command Command) (*Process, error) {
	if len(command.Argv) == 0 || command.Argv[0] == "" {
		return nil, &StartError{CodeFailed, "no command given"}
	}
	if info, err := os.Stat(command.Cwd); err != nil {
		return nil, &StartError{CodeFailed, fmt.Sprintf("working directory: %v", err)}
	} else if !info.IsDir() {
		return nil, &StartError{CodeFailed, fmt.Sprintf("working directory: %s is not a directory", command.Cwd)}
	}
	path, err := findProgram(command)
	if err != nil {
		return nil, invokeError(command.Argv[0], err)
	}
	pipes, err := openStreams(command)
	if err != nil {
		return nil, &StartError{CodeFailed, err.Error()}
	}
	defer pipes.closeChildEnds()
	pid, ended, err := r.start(func() (int, error) {
		return syscall.ForkExec(path, command.Argv, &syscall.ProcAttr{
			Dir:   command.Cwd,
			Env:   command.Env,
			Files: pipes.child[:],
			Sys: &syscall.SysProcAttr{
				Setsid: true,
				// Descriptor 0 of the child.
				Setctty: command.Terminal != nil,
				Credential: &syscall.Credential{
					Uid:         command.User.UID,
					Gid:         command.User.GID,
					Groups:      command.User.Groups,
					NoSetGroups: os.Geteuid() != 0,
				},
			},
		})
	})
	if err != nil {
		pipes.closeOurEnds()
		return nil, invokeError(command.Argv[0], err)
	}
	return &Process{
		Pid: pid, Stdin: pipes.ours[0], Stdout: pipes.ours[1], Stderr: pipes.ours[2],
		terminal: command.Terminal != nil, reaper: r, ended: ended,
	}, nil
}

func openStreams(command Command) (*pipes, error) {
	if command.Terminal != nil {
		return openTerminal(*command.Terminal, command.User, command.Stdin)
	}
	return openPipes(command.Stdin)
}

// Ended gives the wait status, once.
func (p *Process) Ended() <-chan unix.WaitStatus { return p.ended }

// Signal signals the whole process group, and in a terminal the one in its
// foreground: the job of a shell. After the process has ended it does nothing.
func (p *Process) Signal(signal unix.Signal) error {
	foreground := 0
	if p.terminal {
		foreground = foregroundOf(p.Stdout)
	}
	return p.reaper.signalGroup(p.Pid, foreground, signal)
}

// findProgram does what execvp(3) does, with the PATH of the command.
func findProgram(command Command) (string, error) {
	name := command.Argv[0]
	if strings.Contains(name, "/") {
		// Relative to the working directory, which ForkExec enters first.
		absolute := name
		if !filepath.IsAbs(name) {
			absolute = filepath.Join(command.Cwd, name)
		}
		return absolute, executable(absolute)
	}
	result := error(fs.ErrNotExist)
	for _, pair := range command.Env {
		path, isPath := strings.CutPrefix(pair, "PATH=")
		if !isPath {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(command.Cwd, dir)
			}
			candidate := filepath.Join(dir, name)
			err := executable(candidate)
			if err == nil {
				return candidate, nil
			}
			if errors.Is(err, fs.ErrPermission) {
				result = err
			}
		}
	}
	return "", result
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir(), info.Mode()&0o111 == 0:
		return fs.ErrPermission
	}
	return nil
}

func invokeError(name string, err error) *StartError {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return &StartError{CodeNotFound, fmt.Sprintf("%s: not found in the guest", name)}
	}
	return &StartError{CodeCannotInvoke, fmt.Sprintf("%s cannot be executed: %v", name, err)}
}
