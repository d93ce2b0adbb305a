#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml reads, once; never overwrites any.
#
#   deploy/make-secrets.sh [FOLDER]     # deploy/secrets where none is given
#
# The folder is closed to everybody else; the files in it can be read by all, because Compose binds them into
# containers as they are, and each container has a user of its own.
set -euo pipefail

folder=${1:-"$(dirname "$0")/secrets"}

if [ -e "$folder/master-key" ]; then
    echo "$folder/master-key exists: nothing was made. Without that key the stored tokens are lost; keep a copy." >&2
    exit 1
fi
command -v openssl >/dev/null || { echo "openssl is missing: install it and run this again." >&2; exit 1; }

# Writes standard input to a file that the containers' users can read.
keep() {
    cat >"$folder/$1"
    chmod 0444 "$folder/$1"
}

# The form in which RabbitMQ keeps a password: base64(salt + sha256(salt + password)).
rabbitmq_hash() {
    local salt="$folder/.salt"
    openssl rand -out "$salt" 4
    { cat "$salt"; { cat "$salt"; printf '%s' "$1"; } | openssl dgst -sha256 -binary; } | base64 -w 0
    rm "$salt"
}

mkdir -p "$folder"
chmod 0700 "$folder"
database_password=$(openssl rand -hex 24)
broker_password=$(openssl rand -hex 24)

printf '%s' "$database_password" | keep postgres-password
printf 'postgres://sapo_sync:%s@postgres:5432/sapo_sync' "$database_password" | keep database-url
printf 'amqp://sapo-sync:%s@rabbitmq:5672/sapo-sync' "$broker_password" | keep broker-url
sed "s|@PASSWORD_HASH@|$(rabbitmq_hash "$broker_password")|" "$(dirname "$0")/rabbitmq/definitions.template.json" |
    keep rabbitmq-definitions.json
# Last: its existence says that all the others are there.
openssl rand -hex 32 | keep master-key

echo "Made in $folder: $(cd "$folder" && echo *)"
echo "Keep a copy of master-key apart from the back-ups: with it and a back-up every stored token can be read."
