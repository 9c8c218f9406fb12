#!/bin/sh
# Takes a fresh clone to where everything of vmsan runs; takes milliseconds when
# nothing is missing. Three steps:
#   1. Node.js 24, pinned by toolchain/node/package-lock.json, alone in the cache
#   2. the npm packages, by `npm ci` under that Node
#   3. scripts/bootstrap/main.ts under that Node: Debian packages, Go, agent, images
# Options: --quiet   say nothing when nothing is missing
#          --light   steps 1 and 2 only
# Exit codes: 0; 2 bad input; 1 anything else.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
cache=${VMSAN_CACHE_DIR:-/var/cache/vmsan}
quiet= light=

fail() {
  echo "bootstrap: $1" >&2
  exit "${2:-1}"
}

for option in "$@"; do
  case $option in
    --quiet) quiet=--quiet ;;
    --light) light=yes ;;
    *) fail "unknown option $option (there are --quiet and --light)" 2 ;;
  esac
done
case $cache in /*) ;; *) fail "VMSAN_CACHE_DIR must be an absolute path, not $cache" 2 ;; esac

# npm_execpath is npm itself when `npm run` called us.
find_npm() {
  npm=${npm_execpath:-}
  case $npm in */npm-cli.js) [ -f "$npm" ] && return ;; esac
  npm=$(command -v npm) || fail 'npm is not installed: install it, for example with apt-get install npm'
  npm=$(readlink -f -- "$npm")
  case $npm in *.js) ;; *) fail "$npm is not npm's own npm-cli.js: run this as \"npm run bootstrap\"" ;; esac
}

bring_node() {
  [ "$(uname -s)" = Linux ] || fail 'vmsan needs Linux'
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) fail "unsupported architecture: $(uname -m) (vmsan needs x86_64)" ;;
  esac
  node=$home/node_modules/node-linux-$arch/bin/node
  if [ ! -x "$node" ]; then
    find_npm
    mkdir -p -- "$cache/node" 2>/dev/null && temp=$(mktemp -d "$cache/node/.new-XXXXXX" 2>/dev/null) ||
      fail "cannot write $cache: run as root, or set VMSAN_CACHE_DIR to a directory of yours"
    echo 'bootstrap: Node.js 24' >&2
    trap 'rm -rf -- "$temp"' EXIT
    trap 'exit 1' INT TERM HUP
    cp "$root/toolchain/node/package.json" "$root/toolchain/node/package-lock.json" \
      "$root/toolchain/node/.npmrc" "$temp/"
    # npm takes a package of another architecture, or one it cannot fetch, for optional.
    (cd "$temp" && npm ci --ignore-scripts --loglevel=error >npm.log 2>&1) && [ -x "$temp${node#"$home"}" ] || {
      tail -n 20 "$temp/npm.log" >&2
      fail 'npm could not fetch Node.js 24: is its registry reachable?'
    }
    chmod 755 "$temp"
    # Who renames first wins; the others use what is there.
    mv -T -- "$temp" "$home" 2>/dev/null || [ -x "$node" ] || fail "cannot write $home"
    trap - EXIT INT TERM HUP
    rm -rf -- "$temp"
  fi
  ln -sfn -- "$node" "$root/build/node.$$" && mv -fT -- "$root/build/node.$$" "$root/build/node"
}

bring_packages() {
  find_npm
  echo 'bootstrap: npm packages' >&2
  # Debian's npm finds its own parts where Debian's Node looks; ours must be told.
  case $npm in /usr/share/nodejs/*) libraries=/usr/share/nodejs:/usr/lib/nodejs ;; *) libraries= ;; esac
  # Under another Node npm would look for its global settings beside that one.
  settings=${npm_config_globalconfig:-$(npm config get globalconfig)}
  log=$root/build/npm.log
  (cd "$root" && NODE_PATH=$libraries npm_config_globalconfig=$settings \
    "$root/build/node" "$npm" ci --ignore-scripts --loglevel=error >"$log" 2>&1) || {
    tail -n 20 "$log" >&2
    fail 'npm ci failed: is the registry reachable?'
  }
  cp "$root/package-lock.json" "$stamp"
}

mkdir -p -- "$root/build" 2>/dev/null || fail "cannot write $root/build"
# One bootstrap at a time in this tree.
exec 9>"$root/build/bootstrap.lock"
flock -n 9 || {
  echo 'bootstrap: waiting for another one in this tree' >&2
  flock 9
}

read -r sum _ <<END
$(cksum <"$root/toolchain/node/package-lock.json")
END
home=$cache/node/$sum
case $(readlink -- "$root/build/node" || true) in
  "$home"/*) [ -x "$root/build/node" ] || bring_node ;;
  *) bring_node ;;
esac

stamp=$root/node_modules/.vmsan-package-lock.json
cmp -s -- "$root/package-lock.json" "$stamp" || bring_packages
[ -n "$light" ] || "$root/build/node" "$root/scripts/bootstrap/main.ts" $quiet
