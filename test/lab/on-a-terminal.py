"""Runs a program on a terminal of its own: [rows, columns, argv...].

Its output is ours. Each line of our stdin is an order as JSON: {"type": text},
{"size": [rows, columns]} or {"signal": number}. After its end the last line of stderr is JSON:
{"code", "restored"}; restored tells whether the terminal's settings are as they were.
"""
import fcntl, json, os, select, struct, subprocess, sys, termios

rows, columns, *argv = sys.argv[1:]
master, slave = os.openpty()


def resize(rows, columns):
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))


def own_it():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


resize(rows, columns)
before = termios.tcgetattr(slave)
child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_it)


def obey(order):
    if "type" in order:
        os.write(master, order["type"].encode())
    if "size" in order:
        resize(*order["size"])
    if "signal" in order:
        child.send_signal(order["signal"])


orders = b""
watched = [master, 0]
while True:
    ended = child.poll() is not None
    readable, _, _ = select.select(watched, [], [], 0 if ended else 0.05)
    if ended and master not in readable:
        break
    if master in readable:
        os.write(1, os.read(master, 65536))
    if 0 in readable:
        chunk = os.read(0, 65536)
        if not chunk:
            watched.remove(0)
        *lines, orders = (orders + chunk).split(b"\n")
        for line in lines:
            obey(json.loads(line))
end = {"code": child.returncode, "restored": termios.tcgetattr(slave) == before}
os.write(2, json.dumps(end).encode() + b"\n")
