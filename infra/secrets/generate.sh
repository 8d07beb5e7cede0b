#!/bin/sh
# Writes a fresh set of secrets into the folder given; refuses one that exists.
set -eu
folder=${1:?usage: generate.sh FOLDER}
mkdir "$folder"
chmod 711 "$folder"
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
random > "$folder/encryption-key"
random > "$folder/orders-client-secret"
random > "$folder/users-client-secret"
random > "$folder/postgres-password"
for file in "$(dirname "$0")"/demo/*-database-url; do
  service=$(basename "$file" -database-url)
  printf 'postgres://%s:%s@postgres:5432/%s\n' "$service" "$(random)" "$service" > "$folder/$service-database-url"
done
chmod 644 "$folder"/*
