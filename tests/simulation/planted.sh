#!/bin/bash
# Plants faults in the engine, one at a time, and sees the simulation find each. What is in crates/ must be committed; it is the same
# afterwards. Every fault costs a build.
#
#     planted.sh [FIRST..LAST [WORD]]      seeds to try [1..300]; only faults whose name has the word
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-1..300}
word=${2:-}
git diff --quiet -- crates || { echo "crates/ has changes of its own"; exit 2; }
trap 'git checkout --quiet -- crates' EXIT
missed=0

plant() { # name, file, sed expression
    [[ $1 == *"$word"* ]] || return 0
    sed -i "$3" "$2"
    if git diff --quiet -- crates; then
        echo "$1: nothing to plant it in"
        exit 2
    fi
    cargo build --quiet --workspace --bin galerie-simulation
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
plant "a quota keeps the bytes of what is deleted" crates/control/src/quota.rs \
    's/Usage { bytes: -bytes, resources: -1 }/Usage { bytes: bytes - bytes, resources: -1 }/'
plant "what is damaged is not copied again" crates/control/src/db/replica.rs \
    "/^const COPY_AGAIN/,/;\$/s/AND state = 'Completed'/AND state = 'Damaged'/"
plant "an upload is carried on without its pages" crates/control/src/uploads.rs \
    's/let may = row.as_ref().is_none_or(|row| !row.has_pages) || sees(&\*plane, upload).await;/let may = true || sees(\&*plane, upload).await;/'
plant "a copy relies on pins that have expired" crates/control/src/operations/replicate.rs \
    's/let pinned = from.check(tx).await? \&\& into.check(tx).await?;/let pinned = from.check(tx).await? || true;/'
exit $missed
