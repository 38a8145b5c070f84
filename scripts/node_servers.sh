# What the tests use on Node.js: an OpenID Provider that is not ours, and the Azure SDK for JavaScript. Sourced by setup.sh.
# Each comes from the npm registry, pinned to the last byte by a package-lock.json, into target/venv.

# Node.js and npm, from Debian where there are none.
install_node() {
    command -v node >/dev/null && command -v npm >/dev/null || install_debian_packages nodejs npm
}

is_node_at_least() {
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= Number(process.argv[1]) ? 0 : 1)' "$1"
}

# install_node_modules FOLDER SOURCE WHAT : what SOURCE/package-lock.json pins, into target/venv/FOLDER.
install_node_modules() {
    local directory="$repo/target/venv/$1" source="$2" wanted
    wanted=$(cat "$source/package.json" "$source/package-lock.json" <(node --version) | sha256sum)
    [ "$(cat "$directory/installed" 2>/dev/null)" != "$wanted" ] || return 0
    echo "Installing $3 (once) ..."
    rm -rf "$directory"
    mkdir -p "$directory"
    cp "$source/package.json" "$source/package-lock.json" "$directory/"
    # No script of a package runs.
    (cd -P "$directory" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$directory/npm.log" 2>&1 || {
        cat "$directory/npm.log" >&2
        return 1
    }
    echo "$wanted" >"$directory/installed"
}

install_oidc_issuer() {
    install_node || return 1
    is_node_at_least 18 || {
        echo "Node.js 18 or newer is needed, and this is $(node --version)" >&2
        return 1
    }
    install_node_modules oidc "$repo/tests/clients/oidc_provider" "an OpenID Provider for the tests of external issuers"
}

# The SDK needs Node.js 20, and Debian 12 has an older one: it runs on the one that its packages bring (js_sdk/package.json).
install_js_sdk() {
    install_node || return 1
    install_node_modules js "$repo/tests/clients/js_sdk" "the Azure SDK for JavaScript"
}
