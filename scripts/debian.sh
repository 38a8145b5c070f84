# Debian packages, for the scripts beside this file (sourced, not run).
#
# `install_debian_packages NAME...` installs what is missing and nothing else: as root, or through sudo when that asks
# no password, and otherwise it says what a person has to install. It adds no source to the system; a source that is
# needed for one installation lives in a private apt state below target/.

apt_state="${repo:?the calling script sets repo}/target/apt"

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# apt-get with its own package lists below target/, so that it works for any user and leaves the system's lists alone.
# Everything else (sources, keys, proxies) is the system's own configuration.
private_apt_get() {
    mkdir -p "$apt_state/lists/partial" "$apt_state/cache/archives/partial"
    apt-get -q -o "Dir::State::lists=$apt_state/lists" -o "Dir::Cache=$apt_state/cache" \
        -o APT::Sandbox::User= -o Acquire::Languages=none "$@"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_become_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

# An installed qemu from backports (its version says so) needs the rest of qemu from there too. When no configured
# source has that suite, this writes one for the private state: the same mirror, the release's name with -backports.
backports_source() {
    local version suite mirror keyring
    version=$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null) || return 0
    case "$version" in *~bpo*) ;; *) return 0 ;; esac
    suite="$(. /etc/os-release && echo "$VERSION_CODENAME")-backports"
    ! apt-get indextargets --format '$(RELEASE)' | grep -qx "$suite" || return 0
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v want="${suite%-backports}" '$2 == want { print $1; exit }')
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keyring] $mirror $suite main"
}

install_debian_packages() {
    local name missing=()
    for name in "$@"; do is_installed "$name" || missing+=("$name"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "These Debian packages (or your system's equivalents) are needed: ${missing[*]}" >&2
        return 1
    fi
    if ! can_become_root; then
        echo "Some packages are missing, and installing them needs root. Please run:" >&2
        echo "    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    echo "Installing Debian packages: ${missing[*]}"
    cp -aT /etc/apt/sources.list.d "$(fresh_directory "$apt_state/sources")"
    fresh_directory "$apt_state/root-lists/partial" >/dev/null
    local source qemu=() others=()
    for name in "${missing[@]}"; do
        case "$name" in qemu-* | seabios) qemu+=("$name") ;; *) others+=("$name") ;; esac
    done
    source=$(backports_source)
    [ -z "$source" ] || echo "$source" > "$apt_state/sources/backports.list"
    root_apt_get update || return 1
    # Only qemu comes from backports: `-t` would bring newer versions of everything else that is there, too.
    [ ${#others[@]} = 0 ] || root_apt_get install -y --no-install-recommends "${others[@]}" || return 1
    [ ${#qemu[@]} = 0 ] || root_apt_get install -y --no-install-recommends ${source:+-t "$(awk '{ print $4 }' <<<"$source")"} "${qemu[@]}"
}

# As root with lists of its own, because the private state may hold a source that the system does not. Quiet unless it fails.
root_apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o "Dir::State::lists=$apt_state/root-lists" \
        -o "Dir::Etc::SourceParts=$apt_state/sources" -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@" \
        >"$apt_state/$1.log" 2>&1 || { tail -n 40 "$apt_state/$1.log" >&2; return 1; }
}

fresh_directory() { rm -rf "$1" && mkdir -p "$1" && echo "$1"; }
