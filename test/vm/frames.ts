/**
 * Python for the guest: puts frames on eth0 as a hostile root would. Only the
 * first is honest. Arguments: an address that listens on UDP port 7, and the
 * guest's own.
 */
export const FRAMES = `
import socket, struct, sys

target, own = sys.argv[1:3]
mac = bytes.fromhex(open('/sys/class/net/eth0/address').read().strip().replace(':', ''))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(('eth0', 0))

def gateway():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((target, 9))
    via = own.rsplit('.', 1)[0] + '.1'
    import subprocess
    subprocess.run(['ping', '-c1', '-W1', via], stdout=subprocess.DEVNULL)
    neighbours = subprocess.run(['ip', 'neigh', 'show', via], capture_output=True, text=True).stdout
    return bytes.fromhex(neighbours.split('lladdr ')[1].split()[0].replace(':', ''))

def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

def ip(source, protocol=17, fragment=0):
    payload = struct.pack('!HHHH', 5000, 7, 12, 0) + b'spy!'
    fields = [0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0,
              socket.inet_aton(source), socket.inet_aton(target)]
    head = struct.pack('!BBHHHBBH4s4s', *fields)
    fields[7] = checksum(head)
    return struct.pack('!BBHHHBBH4s4s', *fields) + payload

def frame(kind, payload, source=mac, vlan=b''):
    wire.send(router + source + vlan + struct.pack('!H', kind) + payload)

router = gateway()
frame(0x0800, ip(own))
frame(0x0800, ip('172.16.99.2'))
frame(0x0800, ip('192.0.2.10'))
frame(0x0800, ip('127.0.0.1'))
frame(0x0800, ip(own), source=bytes.fromhex('020000000001'))
frame(0x0800, ip(own), vlan=struct.pack('!HH', 0x8100, 5))
frame(0x0800, ip(own), vlan=struct.pack('!HH', 0x88a8, 5))
frame(0x86dd, struct.pack('!IHBB', 0x60000000, 0, 59, 64) + bytes(15) + b'\\1' + bytes(15) + b'\\2')
frame(0x0806, struct.pack('!HHBBH', 1, 0x0800, 6, 4, 2) + mac + socket.inet_aton('192.0.2.1')
      + router + socket.inet_aton('172.16.0.1'))
frame(0x88cc, bytes(46))
`;
