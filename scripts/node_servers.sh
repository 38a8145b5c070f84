# Servers of others that run on Node.js, for the scripts beside this file (sourced, not run).
#
# target/venv/oidc has an OpenID Provider. What it holds is pinned, with checksums, in tests/clients/oidc_provider/.

install_oidc_issuer() {
    local directory="$repo/target/venv/oidc" source="$repo/tests/clients/oidc_provider" wanted
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then install_debian_packages nodejs npm || return 1; fi
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' || {
        echo "Node.js 18 or newer is needed, and this is $(node --version)" >&2
        return 1
    }
    wanted=$(cat "$source/package.json" "$source/package-lock.json" <(node --version) | sha256sum)
    [ "$(cat "$directory/installed" 2>/dev/null)" != "$wanted" ] || return 0
    echo "Installing an OpenID Provider for the tests of external issuers (once) ..."
    rm -rf "$directory"
    mkdir -p "$directory"
    cp "$source/package.json" "$source/package-lock.json" "$directory/"
    # No script of a package runs.
    npm --prefix "$directory" ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$directory/npm.log" 2>&1 || {
        cat "$directory/npm.log" >&2
        return 1
    }
    echo "$wanted" >"$directory/installed"
}
