# Prepares a primary for its standbys, before they are cloned: whichever of the three is promoted has the same settings. Run by
# the image of PostgreSQL when it makes its data.
echo "host replication all all trust" >>"$PGDATA/pg_hba.conf"
# Only the nodes wait for a standby: each of them asks for that.
cat >>"$PGDATA/postgresql.conf" <<'SETTINGS'
synchronous_standby_names = 'ANY 1 ("db-1", "db-2", "db-3")'
synchronous_commit = local
SETTINGS
