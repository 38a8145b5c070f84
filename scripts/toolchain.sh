# The Rust toolchain, for the scripts beside this file (sourced, not run). It checks and explains; it installs no toolchain.

required_cargo() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$repo/Cargo.toml"; }

check_cargo() {
    local need have
    need=$(required_cargo)
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
    if ! command -v cargo >/dev/null; then
        echo "Galerie is built with Rust $need or newer, and there is no cargo on the PATH." >&2
        echo "Install it with rustup (https://rustup.rs); Debian's own package may be too old." >&2
        return 1
    fi
    have=$(cargo --version | awk '{ print $2 }')
    if [ "$(printf '%s\n' "$need" "$have" | sort -V | head -n 1)" != "$need" ]; then
        echo "Galerie is built with Rust $need or newer; cargo here is $have. 'rustup update stable' brings a newer one." >&2
        return 1
    fi
}

# The test runner is built from source once (some minutes on a small machine). A copy on the PATH is as good.
install_nextest() {
    cargo nextest --version >/dev/null 2>&1 || {
        echo "Building cargo-nextest, the test runner (once) ..."
        cargo install --locked --quiet cargo-nextest --version "$nextest_version"
    }
}
nextest_version=0.9.143
