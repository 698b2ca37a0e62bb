#!/usr/bin/env bash
# First boot of the Postgres image. Its entrypoint has applied the numbered .sql files by now; this records them, so that
# `recant migrate` finds nothing to do, and makes the logins and the databases beside. Docker only: an embedded or own
# Postgres is prepared by `recant up` and `recant migrate`. Outside the image libpq's variables (PGHOST …) say where.
#
#   POSTGRES_DB             the database of the knowledge (default recant)
#   POSTGRES_USER           the superuser (default postgres)
#   RECANT_APP_PASSWORD     of recant_app, the login of the library and of Airflow's tasks
#   AIRFLOW_DB_PASSWORD     of airflow, which owns the database airflow
#   MARQUEZ_DB_PASSWORD     of marquez, which owns the database marquez; without it there is neither
#
# Each password may be in a file instead, named by the variable with _FILE behind. None is put into an argument, sent to
# the server (psql makes the SCRAM verifier here) or written to a log. May be run again: what is there is left, and
# passwords are set anew.

( # in a shell of its own: the entrypoint sources a file that lost its executable bit
  set -euo pipefail
  shopt -s inherit_errexit
  folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  database=${POSTGRES_DB:-recant}
  superuser=${POSTGRES_USER:-${PGUSER:-postgres}}

  say() { printf 'first boot: %s\n' "$*" >&2; }

  sql() { # runs standard input; arguments are psql's
    psql --no-psqlrc --no-password --quiet --tuples-only --no-align -v ON_ERROR_STOP=1 \
      --username "$superuser" --dbname "$database" "$@"
  }

  password() { # prints what the variable, or the file it names, holds
    local file=${1}_FILE secret=${!1:-}
    if [[ -z $secret && -n ${!file:-} ]]; then
      secret=$(<"${!file}")
    fi
    printf '%s' "$secret"
  }

  record_migrations() { # only of a schema that nobody has recorded yet: later files are `recant migrate`'s
    local file recorded
    recorded=$(sql <<<'SELECT count(*) FROM recant.schema_migration')
    [[ $recorded == 0 ]] || return 0
    for file in "$folder"/[0-9][0-9][0-9][0-9]_*.sql; do
      sql -v name="${file##*/}" -v sha256="$(sha256sum <"$file" | cut -d' ' -f1)" <<'SQL'
INSERT INTO recant.schema_migration (name, sha256) VALUES (:'name', :'sha256')
SQL
    done
  }

  make_login() { # ROLE VARIABLE
    local secret
    secret=$(password "$2")
    [[ -n $secret ]] || { say "set $2 (or $2_FILE): the role $1 needs a password"; exit 1; }
    [[ $secret != *$'\n'* ]] || { say "$2 has more than one line"; exit 1; }
    sql -v role="$1" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SQL
    # without a terminal of its own psql asks on standard error and reads from standard input
    printf '%s\n%s\n' "$secret" "$secret" | setsid --wait psql --no-psqlrc --no-password --quiet -v ON_ERROR_STOP=1 \
      --username "$superuser" --dbname "$database" --command "\\password $1" 2> >(sed '/^Enter /d' >&2)
  }

  make_database() { # NAME, owned by the role of the same name; nobody else connects
    sql -v name="$1" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE :"name" FROM PUBLIC;
SQL
  }

  record_migrations
  make_login recant_app RECANT_APP_PASSWORD
  sql -v name="$database" <<'SQL'
GRANT recant_worker TO recant_app;
REVOKE CONNECT, TEMPORARY ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"name" TO recant_reader;
SQL
  make_login airflow AIRFLOW_DB_PASSWORD
  make_database airflow
  marquez=$(password MARQUEZ_DB_PASSWORD)
  if [[ -n $marquez ]]; then
    make_login marquez MARQUEZ_DB_PASSWORD
    make_database marquez
  fi
  say "the database $database and its logins are ready"
)
