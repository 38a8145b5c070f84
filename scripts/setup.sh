#!/usr/bin/env bash
# setup.sh run|check|test|bench : brings what a `make` target needs onto a Debian machine, and nothing more.
#
# Safe to run at any time: what is there is left alone, and when nothing is missing it takes a fraction of a second.
#   run    a C compiler, for the libraries that bring C code, and cargo
#   check  and the test runner
#   test   and a Python with the real Azure clients, qemu, NBD tools, PostgreSQL, what builds a bootable disk image,
#          an OpenID Provider and the JavaScript SDK on Node.js, and what kills and misleads a server
#   bench  and the peers that the benchmarks compare with
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
. "$repo/scripts/debian.sh"
. "$repo/scripts/toolchain.sh"
. "$repo/scripts/python_clients.sh"
. "$repo/scripts/node_servers.sh"

# One at a time: two would remove what the other is installing.
mkdir -p "$repo/target"
exec 9>"$repo/target/setup.lock"
flock 9

packages_run=(gcc libc6-dev make)
packages_test=(python3 python3-venv qemu-utils libnbd-bin nbdkit
    qemu-system-x86 qemu-system-data seabios postgresql strace libfaketime haproxy openssl
    busybox-static e2fsprogs dosfstools mtools syslinux syslinux-common systemd-boot-efi)
packages_bench=(qemu-utils libnbd-bin nbdkit fio zstd postgresql mmdebstrap uidmap e2fsprogs util-linux python3)

case "${1:-}" in
run)
    install_debian_packages "${packages_run[@]}"
    check_cargo
    ;;
check)
    install_debian_packages "${packages_run[@]}"
    check_cargo
    install_nextest
    ;;
test)
    check_cargo
    install_debian_packages "${packages_run[@]}" "${packages_test[@]}"
    install_nextest
    install_python_clients az sdk s3
    install_oidc_issuer
    install_js_sdk
    ;;
bench)
    check_cargo
    install_debian_packages "${packages_run[@]}" "${packages_bench[@]}"
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
