#!/bin/sh
# Gives every service a role and a database of its own; the password is the one in the service's DATABASE_URL.
set -eu
for file in /run/secrets/*-database-url; do
  service=$(basename "$file" -database-url)
  url=$(cat "$file")
  password=$(printf '%s' "$url" | sed -E 's#^postgres://[^:]+:([^@]+)@.*$#\1#')
  psql --set ON_ERROR_STOP=1 --set service="$service" --set password="$password" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password' CONNECTION LIMIT 40;
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
