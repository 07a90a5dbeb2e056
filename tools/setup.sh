#!/bin/sh
# Makes a Debian 12 machine ready: Debian packages, the pinned Node and npm packages, and on a machine whose cgroup controllers are
# spread over v1 and v2 a mount that lets crun work. Safe to run again: what is there is left as it is.
#   tools/setup.sh demo      what the daemon and its example need
#   tools/setup.sh verify    also what the tests need
set -eu
what=${1:-demo}
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root: containers, networks and mounts are made for real. Try: sudo npm run $what"
command -v apt-get >/dev/null || die "needs Debian 12 (apt-get was not found)"

# What each is for: the pinned Node, faster gzip, OCI runtimes, monitor, init of shared PID namespaces, network plugins and their tools, test image, test registry.
packages="libatomic1 libisal2 crun runc conmon catatonit containernetworking-plugins iptables iproute2 busybox-static docker-registry git ca-certificates"
# The reference peer, gVisor, other image tools, peers of protocol tests, and what reads a terminal's screen.
[ "$what" = verify ] && packages="$packages containerd runsc skopeo umoci socat tmux strace python3"

# The real client for the stream tests, unless the machine has it from elsewhere.
[ "$what" = verify ] && ! command -v kubectl >/dev/null && packages="$packages kubernetes-client"

missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  say "installing Debian packages:$missing"
  # Their services are not wanted: everything here starts its own, on loopback or on its own sockets.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; made=yes; fi
  trap '[ -z "$made" ] || rm -f $policy' EXIT
  # A shell that a signal ends does not get as far as EXIT by itself.
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
  [ -z "$made" ] || rm -f $policy
  trap - EXIT HUP INT TERM
fi

stamp=node_modules/.package-lock.json
if [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt $stamp ]; then
  say "installing Node and npm packages as package-lock.json pins them"
  # Not npm ci: it wants an entry for every platform's optional package, and registries that mirror only some have no such lock file.
  # Versions and checksums are the lock file's all the same, and it is not written.
  npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
  touch $stamp
  # Stripped types are cached: the first start is then as quick and small as the later ones.
  bin/coracled version >/dev/null
  bin/coracle completion bash >/dev/null
fi

# crun 1.8 refuses a machine with controllers on both versions of cgroups; hugetlb is the one that is left on v2 by old init systems.
unified=/sys/fs/cgroup/unified
if grep -qsw hugetlb $unified/cgroup.controllers && ! grep -qs ' /sys/fs/cgroup/hugetlb ' /proc/mounts; then
  say "mounting the hugetlb cgroup controller on v1, so that crun works here (undo: umount /sys/fs/cgroup/hugetlb)"
  mkdir -p /sys/fs/cgroup/hugetlb
  mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb
fi
