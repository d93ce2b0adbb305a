#!/usr/bin/env bash
# Runs the whole test matrix, and says what ran on what:
#   1. every test on SQLite and the embedded broker;
#   2. the integration tests again on PostgreSQL and RabbitMQ, with those that need them, faults included.
#
# PostgreSQL and RabbitMQ are, each by itself, the first of these that is there:
#   a. SAPO_SYNC_TEST_DATABASE_URL and SAPO_SYNC_TEST_BROKER_URL (a server on which databases and vhosts may be made);
#   b. a server at the usual address: postgres://postgres@127.0.0.1:5432, amqp://guest:guest@127.0.0.1:5672;
#   c. a Docker engine with Compose: deploy/test-services.yml, removed again at the end;
#   d. own instances on free ports below a temporary folder, of the installed programs; root on Debian installs them.
# The fault tests kill the servers they use, so they start their own: the programs of both are needed in every case.
# shellcheck disable=SC2329 # what undoes things is called by name at the end
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

work=$(mktemp -d "${TMPDIR:-/tmp}/sapo-sync-test.XXXXXX")
# The servers run as users of their own.
chmod 0755 "$work"
cleanup=()
rows=()
failed=0
compose_up=false

say() { printf '%s\n' "$@" >&2; }

die() {
    say "$@"
    exit 1
}

finish() {
    local i
    for ((i = ${#cleanup[@]} - 1; i >= 0; i--)); do
        ${cleanup[i]} >"$work/cleanup.log" 2>&1 || say "could not be undone: ${cleanup[i]}"
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- programs ---------------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null; }

# Debian keeps these off the PATH.
find_programs() {
    local folder newest=""
    for folder in /usr/lib/postgresql/*/bin; do
        if [ -x "$folder/initdb" ]; then newest=$folder; fi
    done
    if ! have initdb && [ -n "$newest" ]; then PATH="$newest:$PATH"; fi
    # /usr/sbin has a wrapper that changes the user; this is the program itself.
    if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then PATH="/usr/lib/rabbitmq/bin:$PATH"; fi
    export PATH
}

# Installs Debian packages without starting the services in them.
install_packages() {
    local policy=/usr/sbin/policy-rc.d placed=false
    if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
        return 1
    fi
    say "installing: $*"
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
        placed=true
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
    local result=$?
    if $placed; then rm -f "$policy"; fi
    return "$result"
}

# Sees to it that a program is there: need PROGRAM WHAT-FOR PACKAGE…
need() {
    local program=$1 purpose=$2
    shift 2
    have "$program" && return
    install_packages "$@" || true
    find_programs
    hash -r
    have "$program" || die "$program is missing, $purpose: install it (Debian: apt-get install $*) and run this again."
}

# ---- servers ----------------------------------------------------------------------------------------------------

database_answers() { have psql && PGCONNECT_TIMEOUT=3 psql -XAtq "$1" -c 'select 1' >/dev/null 2>&1; }

# Whether something that speaks AMQP 0-9-1 listens at HOST PORT: its first frame is of type 1.
broker_answers() {
    # shellcheck disable=SC2016 # the inner shell expands them
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "AMQP\0\0\11\1" >&3 && head -c 1 <&3' "$1" "$2" \
        2>/dev/null | cmp -s - <(printf '\1')
}

free_port() {
    local port
    for ((port = 21000 + RANDOM % 8000; ; port++)); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

docker_answers() { have docker && docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

compose() { docker compose -f deploy/test-services.yml "$@"; }

# Starts both services once; what is not used does no harm.
start_compose() {
    $compose_up && return
    compose_up=true
    cleanup+=("compose down --volumes --timeout 5")
    compose up -d --wait >&2
}

# PostgreSQL refuses to run as root.
as_database_user() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
    local folder="$work/postgres" port
    port=$(free_port)
    mkdir "$folder"
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder"; fi
    (
        cd /
        as_database_user initdb --pgdata "$folder/data" --username postgres --auth trust --encoding UTF8 --locale C
        as_database_user pg_ctl --pgdata "$folder/data" --log "$folder/log" --wait --timeout 60 \
            --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder" start
    ) >"$work/postgres.out" 2>&1 || die "PostgreSQL did not start:" "$(cat "$work/postgres.out" "$folder/log" 2>&1)"
    cleanup+=("stop_postgres $folder/data")
    database_url="postgres://postgres@127.0.0.1:$port/postgres"
}

stop_postgres() { (cd / && as_database_user pg_ctl --pgdata "$1" --mode fast --wait stop); }

start_rabbitmq() {
    local folder="$work/rabbitmq" port epmd_port node="sapo-sync-test-$$@localhost"
    port=$(free_port)
    epmd_port=$(free_port)
    mkdir "$folder"
    # Private in all: node name, cookie, data, plugins, and the name server that Erlang would leave behind.
    cat >"$folder/env" <<END
export HOME=$folder
export ERL_EPMD_PORT=$epmd_port
export ERL_EPMD_ADDRESS=127.0.0.1
export ERL_CRASH_DUMP=$folder/erl_crash.dump
export RABBITMQ_NODENAME=$node
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
export RABBITMQ_NODE_PORT=$port
export RABBITMQ_DIST_PORT=$(free_port)
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
export RABBITMQ_MNESIA_BASE=$folder/data
export RABBITMQ_LOG_BASE=$folder/log
export RABBITMQ_CONFIG_FILE=$folder/none
export RABBITMQ_ADVANCED_CONFIG_FILE=$folder/none
export RABBITMQ_CONF_ENV_FILE=$folder/none
export RABBITMQ_ENABLED_PLUGINS_FILE=$folder/plugins
export RABBITMQ_PID_FILE=$folder/pid
END
    echo '[].' >"$folder/plugins"
    # shellcheck source=/dev/null
    (. "$folder/env" && exec rabbitmq-server) >"$folder/out" 2>&1 &
    cleanup+=("stop_rabbitmq $folder")
    # shellcheck source=/dev/null
    (. "$folder/env" && rabbitmqctl wait --timeout 120 "$folder/pid") >"$folder/wait" 2>&1 ||
        die "RabbitMQ did not start:" "$(cat "$folder/wait" "$folder/out")"
    broker_url="amqp://guest:guest@127.0.0.1:$port/%2f"
}

stop_rabbitmq() {
    # shellcheck source=/dev/null
    (. "$1/env" && rabbitmqctl shutdown --timeout 60 && epmd -port "$ERL_EPMD_PORT" -kill)
}

# The programs that the fault tests start.
require_servers() {
    local purpose="the fault tests start and kill servers of their own"
    need initdb "$purpose" postgresql
    need psql "$purpose" postgresql
    need rabbitmq-server "$purpose" rabbitmq-server
    if [ "$(id -u)" -eq 0 ]; then
        id postgres >/dev/null 2>&1 || die "PostgreSQL does not run as root, and there is no user postgres: make one, or run this as another user."
    fi
}

# ---- what is tested on ------------------------------------------------------------------------------------------

find_database() {
    local usual=postgres://postgres@127.0.0.1:5432/postgres
    if [ -n "${SAPO_SYNC_TEST_DATABASE_URL:-}" ]; then
        database_url=$SAPO_SYNC_TEST_DATABASE_URL
        database_from="as given"
        database_answers "$database_url" ||
            die "SAPO_SYNC_TEST_DATABASE_URL is set, and no PostgreSQL answers there: start it, mend the URL, or unset it."
    elif database_answers "$usual"; then
        database_url=$usual
        database_from="running at 127.0.0.1:5432"
    elif docker_answers; then
        start_compose
        database_url=postgres://postgres@127.0.0.1:15433/postgres
        database_from="container"
    else
        start_postgres
        database_from="own instance"
    fi
    database="PostgreSQL $(psql -XAtq "$database_url" -c 'show server_version' | cut -d' ' -f1)"
}

find_broker() {
    local usual=amqp://guest:guest@127.0.0.1:5672/%2f
    if [ -n "${SAPO_SYNC_TEST_BROKER_URL:-}" ]; then
        # Not tried here: only the tests can log in, and they say what is wrong.
        broker_url=$SAPO_SYNC_TEST_BROKER_URL
        broker_from="as given"
    elif broker_answers 127.0.0.1 5672; then
        broker_url=$usual
        broker_from="running at 127.0.0.1:5672"
    elif docker_answers; then
        start_compose
        broker_url=amqp://guest:guest@127.0.0.1:15673/%2f
        broker_from="container"
    else
        start_rabbitmq
        broker_from="own instance"
    fi
}

# ---- the runs ---------------------------------------------------------------------------------------------------

# Adds up one column of cargo's result lines: total LOG WORD
total() { { grep -o "[0-9]* $2" "$1" || true; } | awk '{ sum += $1 } END { print sum + 0 }'; }

# One run: run WHAT STATE QUEUE COMMAND…
run() {
    local what=$1 state=$2 queue=$3 start=$SECONDS log="$work/run.log" result=passed
    shift 3
    say "" "== $what: $state, $queue"
    if ! "$@" 2>&1 | tee "$log"; then
        result=FAILED
        failed=1
    fi
    grep '^test result:' "$log" >"$log.results" || true
    rows+=("$(printf '%-30s %-18s %-10s %6d %6d %8d %8d  %s' "$what" "$state" "$queue" "$(total "$log.results" passed)" \
        "$(total "$log.results" failed)" "$(total "$log.results" ignored)" $((SECONDS - start)) "$result")")
}

report() {
    say "" "Ran, on $(nproc) processors:"
    say "$(printf '%-30s %-18s %-10s %6s %6s %8s %8s' what state queue passed failed 'left out' seconds)"
    printf '%s\n' "${rows[@]}" >&2
    say "" "PostgreSQL: $database_from.  RabbitMQ: $broker_from.  The fault tests: own instances of both." \
        "Left out of the first run are the tests that need PostgreSQL or RabbitMQ; the second runs them." \
        "Not there yet: the console in a browser."
}

find_programs
have cargo || die "cargo is missing: install Rust from https://rustup.rs and run this again."
need cc "and the dependencies are built with it" gcc libc6-dev
require_servers
find_database
find_broker

run "every test" SQLite embedded cargo test --locked --no-fail-fast -- --test-threads=4
export SAPO_SYNC_TEST_DATABASE_URL=$database_url SAPO_SYNC_TEST_BROKER_URL=$broker_url
export SAPO_SYNC_TEST_BACKEND=servers
# These wait for the servers more than they compute. Those that look at rates or kill servers have the machine to themselves;
# those that only know files or the sources have run. Random cases are fewer here, for each makes queues of its own.
alone=(limits:: fairness:: faults::)
files=(sqlite:: embedded:: layers:: deploy:: full_disk::)
export PROPTEST_CASES=${PROPTEST_CASES:-4}
run "integration tests" "$database" RabbitMQ \
    cargo test --locked --no-fail-fast --test it -- --include-ignored --test-threads=4 $(printf -- '--skip %s ' "${alone[@]}" "${files[@]}")
run "rates, fairness, faults" "$database" RabbitMQ \
    cargo test --locked --no-fail-fast --test it -- --include-ignored --test-threads=1 "${alone[@]}"
report
exit "$failed"
