#!/bin/bash
# Plants faults in the engine, one at a time, and sees the simulation find each. The tree must be clean; it is again
# afterwards. Every fault costs a build.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-1..300}
git diff --quiet || { echo "the tree has changes of its own"; exit 2; }
trap 'git checkout --quiet -- crates' EXIT
missed=0

plant() { # name, file, sed expression
    sed -i "$3" "$2"
    if git diff --quiet; then
        echo "$1: nothing to plant it in"
        exit 2
    fi
    cargo build --quiet --workspace --bins
    if found=$(target/debug/galerie-simulation --seeds "$seeds"); then
        echo "$1: NOT FOUND in $seeds"
        missed=1
    elif broken=$(grep --max-count=1 ' BREAKS ' <<<"$found"); then
        echo "$1: ${broken:0:200}"
    else
        printf '%s: no seed could be run\n%s\n' "$1" "$found"
        exit 2
    fi
    git checkout --quiet -- crates
}

plant "latest ignores exclusion" crates/control/src/db/image_version.rs \
    's/ AND v.exclude_from_latest = 0 AND r.exclude_from_latest = 0//'
plant "a replica is complete before its bytes are" crates/store/src/copy.rs \
    's/^        self.writer.finish().await$/        Ok(())/'
plant "the collector forgets pins" crates/control/src/reconcile/collect.rs \
    's/pin::oldest(&mut tx, &self.region, tenant).await.map_err(unavailable)/&.map(|_| None)/'
plant "bytes are served that do not match their hash" crates/store/src/blob.rs \
    's/^        if BlobId::of(&decoded) != self.id {$/        if decoded.is_empty() {/'
exit $missed
