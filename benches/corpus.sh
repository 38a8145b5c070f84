#!/usr/bin/env bash
# corpus.sh [--small] DIR : makes the images that the benchmarks import, copy and serve. Files that are there are kept.
#
#   v1.raw     a Debian server: kernel, nginx, postgresql, compilers (4 GiB virtual, about 1.5 GiB used)
#   v2.raw     v1 after a patch day: what apt upgraded and added is changed in v1's own file system, freed space discarded
#   v3.raw     another server, built from scratch with other packages and another layout; many files are the same
#   synth.raw  2 GiB of extents of 4 KiB to 4 MiB, half of them incompressible, half zeros
#
# --small makes the same four a tenth of the size, for CI. None boots: they are for figures.
#
# Trees are built by mmdebstrap and put into ext4 without mounting anything, as root or in a user namespace (which needs
# the uidmap package and a range in /etc/subuid). Debian packages: mmdebstrap e2fsprogs python3. About 15 minutes, 8 GiB.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin"
here=$(cd "$(dirname "$0")" && pwd)

size=full
if [ "${1:-}" = --small ]; then size=small; shift; fi
[ $# = 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
cd "$1"

# Everything apt is told comes from the machine's own sources: the suite's archive, its updates and its security fixes.
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
source_line() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v want="$1" '$2 == want { print $1; exit }')
    [ -z "$mirror" ] || echo "deb $mirror $1 main"
}
release=$(source_line "$suite")
[ -n "$release" ] || { echo "apt has no source for $suite, this machine's release" >&2; exit 1; }
fixes=$(source_line "$suite-updates"; source_line "$suite-security")

packages_small_v1=python3,nginx-light,curl,ca-certificates
packages_small_v3=python3,lighttpd,curl,ca-certificates,git
packages_full_v1=linux-image-cloud-amd64,systemd-sysv,udev,openssh-server,cloud-init,sudo,curl,ca-certificates,python3,python3-pip,nginx,postgresql,vim,git,build-essential,locales,less,rsync,jq
packages_full_v3=apache2,mariadb-server,default-jre-headless,python3,nodejs,linux-image-cloud-amd64,systemd-sysv,udev,openssh-server,cloud-init,curl,ca-certificates,sudo,vim-tiny,git,php,rsync,locales
if [ $size = full ]; then
    root_mib=4030 synth_mib=2048 packages_v1=$packages_full_v1 packages_v3=$packages_full_v3
else
    root_mib=700 synth_mib=256 packages_v1=$packages_small_v1 packages_v3=$packages_small_v3
fi

# The build may run as another user id (a user namespace's root), so it works in a folder that anybody may write to.
work=$(mktemp -d "${TMPDIR:-/tmp}/corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 1777 "$work"
cp "$here/corpus_files.py" "$work/"
chmod 755 "$work/corpus_files.py"

# mmdebstrap's hooks see the tree at $1, with /proc and its like mounted; in a mount namespace of their own they are not.
hook() { echo "tree=\"\$1\"; unshare --mount sh -euc 'for name in dev sys proc; do umount -R -q \"\$0/\$name\" 2>/dev/null || umount -R -l \"\$0/\$name\" 2>/dev/null || true; done; $*' \"\$tree\""; }

build_tree() { # NAME PACKAGES HOOKS... : a tree of the release as it was published, and what the hooks make of it
    local name=$1 packages=$2 hooks=() text
    shift 2
    for text in "$@"; do hooks+=("--customize-hook=$text"); done
    echo "Building $name (log: $PWD/$name.log) ..."
    mmdebstrap --variant=minbase --include="$packages" "${hooks[@]}" "$suite" "$work/$name.tree" "$release" >"$name.log" 2>&1 ||
        { tail -n 20 "$name.log" >&2; exit 1; }
    rm -rf "$work/$name.tree"
}

make_ext4() { # OUT OPTIONS : a hook that puts the tree into a new file system
    hook "rm -rf \"\$0\"/var/lib/apt/lists/* \"\$0\"/var/cache/apt/*.bin; chroot \"\$0\" apt-get -q clean; truncate -s ${root_mib}M $work/$1 && mke2fs -q -F -t ext4 -L root $2 -d \"\$0\" $work/$1 && chmod 644 $work/$1"
}

assemble() { # EXT4 OUT : a disk with a partition table and the file system in it; appears when it is whole
    python3 "$here/corpus_files.py" disk "$work/$1" "$2.part"
    mv "$2.part" "$2"
    rm -f "$work/$1"
}

if [ ! -e v1.raw ] || [ ! -e v2.raw ]; then
    printf '%s\n' "$fixes" > "$work/fixes.list"
    upgrade="cp $work/fixes.list \"\$1/etc/apt/sources.list.d/fixes.list\"; chroot \"\$1\" apt-get -q update; chroot \"\$1\" apt-get -q -y upgrade; chroot \"\$1\" apt-get -q -y install tmux; chroot \"\$1\" apt-get -q clean; rm -rf \"\$1\"/var/lib/apt/lists/* \"\$1\"/var/cache/apt/*.bin"
    build_tree v1 "$packages_v1" \
        "$(make_ext4 v1.ext4 "")" \
        "$(hook "cp --sparse=always $work/v1.ext4 $work/v2.ext4 && python3 $work/corpus_files.py list \"\$0\" > $work/before")" \
        "$upgrade" \
        "$(hook "python3 $work/corpus_files.py change \"\$0\" $work/before $work/v2.ext4 && chmod 644 $work/v2.ext4")"
    assemble v1.ext4 v1.raw
    assemble v2.ext4 v2.raw
fi
if [ ! -e v3.raw ]; then
    build_tree v3 "$packages_v3" "$(make_ext4 v3.ext4 "-i 32768 -E stride=4")"
    assemble v3.ext4 v3.raw
fi
if [ ! -e synth.raw ]; then
    python3 "$here/corpus_files.py" synth "$synth_mib" synth.raw.part
    mv synth.raw.part synth.raw
fi
ls -ls ./*.raw
