import type { Lab } from './lab.ts';

/**
 * Firewalls as they are found on hosts, for the lab's: their tables, chains,
 * hooks, priorities and policies, with fewer rules of no matter here.
 */
export interface Firewall {
  name: string;
  /** sh that puts it there; again does what a reload does. */
  load: string;
}

/** Rules for iptables-restore, loaded by one of its two back-ends. */
function iptables(backend: 'nft' | 'legacy', rules: string): string {
  return `iptables-${backend}-restore --noflush <<'RULES'\n*filter\n${rules.trim()}\nCOMMIT\nRULES`;
}

/** ufw 0.36.2: deny incoming, allow outgoing, routed disabled; SSH allowed. */
const UFW = `
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-after-input - [0:0]
:ufw-after-logging-input - [0:0]
:ufw-reject-input - [0:0]
:ufw-not-local - [0:0]
:ufw-user-input - [0:0]
:ufw-skip-to-policy-input - [0:0]
:ufw-before-forward - [0:0]
:ufw-after-logging-forward - [0:0]
:ufw-reject-forward - [0:0]
:ufw-user-forward - [0:0]
:ufw-before-output - [0:0]
:ufw-user-output - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-after-logging-input
-A INPUT -j ufw-reject-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-after-logging-forward
-A FORWARD -j ufw-reject-forward
-A OUTPUT -j ufw-before-output
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-input -m addrtype --dst-type BROADCAST -j ufw-skip-to-policy-input
-A ufw-skip-to-policy-input -j DROP
-A ufw-after-logging-input -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-after-logging-forward -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-before-output -o lo -j ACCEPT
-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-output -j ufw-user-output`;

/** Docker 28: its bridge, one published port; the policy that shuts out all others who forward. */
const DOCKER = `
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -j RETURN`;

/** What distributions shipped for years: all is refused by a last rule, not by a policy. */
const PLAIN = `
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -j REJECT --reject-with icmp-host-prohibited`;

/** firewalld 1.3.3, zone public for all links: what it has in its chains for `filter`. */
const FIREWALLD = `nft -f - <<'RULES'
table inet firewalld
delete table inet firewalld
table inet firewalld {
  chain filter_IN_public_deny { }
  chain filter_IN_public_allow { tcp dport 22 accept; }
  chain filter_IN_public {
    jump filter_IN_public_deny
    jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
    reject with icmpx admin-prohibited
  }
  chain filter_FWD_public_deny { }
  chain filter_FWD_public_allow { }
  chain filter_FWD_public {
    jump filter_FWD_public_deny
    jump filter_FWD_public_allow
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    iifname "eth0" goto filter_IN_public
    goto filter_IN_public
  }
  chain filter_FORWARD_ZONES {
    iifname "eth0" goto filter_FWD_public
    goto filter_FWD_public
  }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    ip6 daddr { ::/96, 2002::/24 } reject with icmpv6 addr-unreachable
    jump filter_FORWARD_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_OUTPUT {
    type filter hook output priority filter + 10; policy accept;
    ct state { established, related } accept
    oifname "lo" accept
  }
}
RULES`;

/** A workstation's or a router's /etc/nftables.conf, as nftables' own wiki has it. */
const OWN = `nft -f - <<'RULES'
table inet filter
delete table inet filter
table inet filter {
  set friends { type ipv4_addr; elements = { 192.0.2.77 }; }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iif "lo" accept
    ip saddr @friends tcp dport 22 accept
  }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy accept; }
}
RULES`;

export const firewalls = {
  ufw: { name: 'ufw', load: iptables('nft', UFW) },
  docker: { name: 'Docker', load: iptables('nft', DOCKER) },
  plain: { name: 'iptables', load: iptables('nft', PLAIN) },
  legacy: { name: 'iptables-legacy', load: iptables('legacy', PLAIN) },
  firewalld: { name: 'firewalld', load: FIREWALLD },
  own: { name: 'an nftables.conf', load: OWN },
} as const satisfies Record<string, Firewall>;

export async function load(lab: Lab, ...some: Firewall[]): Promise<void> {
  for (const { load: script } of some) await lab.exec(['sh', '-c', script], { check: true });
}

/** Takes all rules of the host's away but ours. */
export async function unload(lab: Lab): Promise<void> {
  await lab.exec(['sh', '-c', UNLOAD], { check: true });
}

const UNLOAD = `
for family_name in ip:filter inet:firewalld inet:filter; do
  nft delete table "\${family_name%%:*}" "\${family_name#*:}" 2>/dev/null
done
for chain in INPUT FORWARD OUTPUT; do iptables-legacy -P $chain ACCEPT; done
iptables-legacy -F && iptables-legacy -X`;

/** Every rule of the host's, without counts: to be compared. */
export async function rulesOf(lab: Lab): Promise<string> {
  const script = `nft -s list ruleset; iptables-nft-save -t filter; iptables-legacy-save -t filter`;
  const { stdout } = await lab.exec(['sh', '-c', script], { check: true });
  return stdout
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/ \[\d+:\d+\]$/gm, '')
    .replaceAll(/counter packets \d+ bytes \d+/g, 'counter');
}
