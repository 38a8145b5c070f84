#!/usr/bin/env bash
# run.sh --small | DIR : prints every budget beside what was reached, on the corpus in DIR (made when it is not there), or
# briefly on small generated images. docs/performance.md says how to read it.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
[ $# = 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

if [ "$1" = --small ]; then
    images=(--small)
else
    "$repo/benches/corpus.sh" "$1" >&2
    images=(--corpus "$(cd "$1" && pwd)")
fi
cd "$repo"
cargo build --release --quiet --package galerie --package galerie-bench
cargo build --release --quiet --package galerie-control --example identity_bench --example access_bench --example catalogue_bench
# The catalogue is measured on PostgreSQL, too, where it is installed.
postgres=()
if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then postgres=(scripts/postgres.sh); fi
# What signing in and authorization cost, and what many galleries do; see docs/performance.md.
if [ "$1" = --small ]; then tokens=300 versions=20000 wide=(10 10 200 1000); else tokens=2000 versions=1000000 wide=(100 10 1000 5000); fi
target/release/examples/identity_bench "$tokens"
target/release/examples/access_bench "$versions" 10000
target/release/examples/catalogue_bench "${wide[@]}"
[ ${#postgres[@]} = 0 ] || "${postgres[@]}" target/release/examples/catalogue_bench "${wide[@]}"
"${postgres[@]}" target/release/galerie-bench "${images[@]}"
# The same budgets for a region that chose the other codec, where that matters.
exec target/release/galerie-bench "${images[@]}" --compression lz4 --only import corpus export nbd
