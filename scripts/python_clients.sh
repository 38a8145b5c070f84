# Python environments with the real clients, for the scripts beside this file (sourced, not run).
#
# Three, because az pins older Azure packages than a user of the SDKs gets today: target/venv/az has the Azure CLI,
# target/venv/sdk the newest SDKs and pytest, which runs the suite, target/venv/s3 an object store to run it against. What
# they hold is pinned in tests/clients/.

install_python_clients() { # az sdk s3
    local name
    for name in "$@"; do python_environment "$name" "$repo/tests/clients/requirements-$name.txt"; done
}

python_environment() {
    local directory="$repo/target/venv/$1" requirements=$2 wanted
    wanted=$(cat "$requirements" <(python3 --version) | sha256sum)
    [ "$(cat "$directory/installed" 2>/dev/null)" != "$wanted" ] || return 0
    echo "Installing Python packages for the $1 clients (once, some minutes) ..."
    rm -rf "$directory"
    python3 -m venv "$directory"
    "$directory/bin/pip" install -q --disable-pip-version-check --no-deps -r "$requirements"
    "$directory/bin/pip" check >"$directory/pip-check.log" || { cat "$directory/pip-check.log" >&2; return 1; }
    echo "$wanted" > "$directory/installed"
}
