#!/usr/bin/env bash
# postgres.sh [--short-lived] COMMAND... : runs a command with GALERIE_TEST_POSTGRES set to a throw-away PostgreSQL database,
# on a Unix socket in a temporary folder. PostgreSQL refuses to run as root, so root starts it as the user `postgres`.
# --short-lived is for many small databases that nobody measures: none is vacuumed, and checkpoints wait.
set -euo pipefail
upkeep=""
if [ "${1:-}" = --short-lived ]; then
    shift
    upkeep="-c autovacuum=off -c jit=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=2GB -c checkpoint_timeout=1h -c shared_buffers=512MB"
fi
[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -x "$programs/initdb" ] || { echo "PostgreSQL's initdb was not found; the Debian package is called postgresql" >&2; exit 1; }
folder=$(mktemp -d /tmp/galerie-postgres.XXXXXX)
as_postgres() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as_postgres() { runuser -u postgres -- "$@"; }
fi
stop() {
    as_postgres "$programs/pg_ctl" -D "$folder/data" -m immediate -s stop || true
    rm -rf "$folder"
}
trap stop EXIT

cd "$folder"
as_postgres "$programs/initdb" -D "$folder/data" -U galerie -A trust -E UTF8 --no-sync >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
# Nothing here outlives the command, so nothing needs to reach a disk. Many tests at once want many connections.
as_postgres "$programs/pg_ctl" -D "$folder/data" -s -w -l "$folder/data/log" start \
    -o "-c listen_addresses='' -c unix_socket_directories='$folder' -c fsync=off -c synchronous_commit=off -c full_page_writes=off $upkeep -c max_connections=400 -c max_pred_locks_per_transaction=256"
as_postgres "$programs/createdb" -h "$folder" -U galerie galerie
chmod 711 "$folder"
cd "$OLDPWD"
GALERIE_TEST_POSTGRES="postgres://galerie@localhost/galerie?host=$folder" "$@"
