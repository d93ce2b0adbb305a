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
# The fault tests kill the servers they use, so they start their own: they need the programs of both in every case.
# What cannot be run here is left out and named at the end; the exit code is then 1, as where a test fails.
# shellcheck disable=SC2317,SC2329 # what undoes things is called by name at the end
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

work=$(mktemp -d "${TMPDIR:-/tmp}/sapo-sync-test.XXXXXX")
# The servers run as users of their own.
chmod 0755 "$work"
cleanup=()
rows=()
# What was not run, and what it takes to run it.
not_run=()
lacks=()
failed=0
# Whether the containers are "up", or have "failed" to start.
containers=""

say() { printf '%s\n' "$@" >&2; }

die() {
    say "$@"
    exit 1
}

# Notes what is in the way of some of the tests.
lack() {
    lacks+=("$1")
    say "$1"
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

# Whether a program is there, once what is missing was installed where that can be done: need PROGRAM PACKAGE…
need() {
    local program=$1
    shift
    have "$program" && return
    install_packages "$@" || true
    find_programs
    hash -r
    have "$program"
}

# ---- servers ----------------------------------------------------------------------------------------------------

database_answers() { have psql && PGCONNECT_TIMEOUT=3 psql -XAtq "$1" -c 'select 1' >/dev/null 2>&1; }

# The first that a server of AMQP 0-9-1 says, before any log-in: greeting HOST PORT
greeting() {
    # shellcheck disable=SC2016 # the inner shell expands them
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "AMQP\0\0\11\1" >&3 && dd bs=64k count=1 status=none <&3' \
        "$1" "$2" 2>/dev/null
}

# Whether such a server listens there: its first frame is of type 1.
broker_answers() { greeting "$1" "$2" | head -c 1 | cmp -s - <(printf '\1'); }

# The version in its greeting: broker_version URL
broker_version() {
    local address=${1#amqp://} version=""
    address=${address##*@}
    address=${address%%[/?]*}
    if [[ $1 == amqp://* ]]; then
        [[ $address == *:* ]] || address=$address:5672
        # Behind the word is how long its value is, which is nothing to print.
        version=$(greeting "${address%:*}" "${address##*:}" | LC_ALL=C tr -c '[:print:]' '\n' |
            awk 'told && NF && !found { print; found = 1 } /^versionS$/ { told = 1 }') || true
    fi
    echo "${version:-unknown}"
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
    if [ -z "$containers" ]; then
        containers=failed
        cleanup+=("compose down --volumes --timeout 5")
        if compose up -d --wait >&2; then containers=up; fi
    fi
    [ "$containers" = up ]
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
    if ! (
        cd / &&
            as_database_user initdb --pgdata "$folder/data" --username postgres --auth trust --encoding UTF8 --locale C &&
            as_database_user pg_ctl --pgdata "$folder/data" --log "$folder/log" --wait --timeout 60 \
                --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder" start
    ) >"$work/postgres.out" 2>&1; then
        say "$(cat "$work/postgres.out" "$folder/log" 2>&1)"
        lack "PostgreSQL did not start; what it said is above."
        return 1
    fi
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
    if ! (. "$folder/env" && rabbitmqctl wait --timeout 120 "$folder/pid") >"$folder/wait" 2>&1; then
        say "$(cat "$folder/wait" "$folder/out")"
        lack "RabbitMQ did not start; what it said is above."
        return 1
    fi
    broker_url="amqp://guest:guest@127.0.0.1:$port/%2f"
}

stop_rabbitmq() {
    # shellcheck source=/dev/null
    (. "$1/env" && rabbitmqctl shutdown --timeout 60 && epmd -port "$ERL_EPMD_PORT" -kill)
}

# What it takes to start servers of our own: the fault tests do, and so do we where there is no other.
own_database=true
own_broker=true
find_own_servers() {
    if ! need initdb postgresql; then
        own_database=false
        lack "PostgreSQL's programs (initdb and others) are missing: install them (Debian: apt-get install postgresql)."
    elif [ "$(id -u)" -eq 0 ] && ! id postgres >/dev/null 2>&1; then
        own_database=false
        lack "PostgreSQL does not run as root, and there is no user postgres: make one, or run this as another user."
    fi
    if ! need rabbitmq-server rabbitmq-server; then
        own_broker=false
        lack "The program rabbitmq-server is missing: install it (Debian: apt-get install rabbitmq-server)."
    fi
}

# ---- what is tested on ------------------------------------------------------------------------------------------

# Both tell whether they found a server.
find_database() {
    local usual=postgres://postgres@127.0.0.1:5432/postgres version
    if [ -n "${SAPO_SYNC_TEST_DATABASE_URL:-}" ]; then
        database_url=$SAPO_SYNC_TEST_DATABASE_URL
        database_from="as given"
        # Without psql only the tests can ask it, and they say what is wrong.
        if have psql && ! database_answers "$database_url"; then
            die "SAPO_SYNC_TEST_DATABASE_URL is set, and no PostgreSQL answers there: start it, mend the URL, or unset it."
        fi
    elif database_answers "$usual"; then
        database_url=$usual
        database_from="running at 127.0.0.1:5432"
    elif docker_answers && start_compose; then
        database_url=postgres://postgres@127.0.0.1:15433/postgres
        database_from="container"
    elif $own_database && start_postgres; then
        database_from="own instance"
    else
        database_from="none"
        return 1
    fi
    version=$(psql -XAtq "$database_url" -c 'show server_version' 2>/dev/null | cut -d' ' -f1) || true
    database="PostgreSQL ${version:-unknown}"
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
    elif docker_answers && start_compose; then
        broker_url=amqp://guest:guest@127.0.0.1:15673/%2f
        broker_from="container"
    elif $own_broker && start_rabbitmq; then
        broker_from="own instance"
    else
        broker_from="none"
        return 1
    fi
    broker="RabbitMQ $(broker_version "$broker_url")"
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
    rows+=("$(printf '%-30s %-18s %-18s %6d %6d %7d %8d %7d  %s' "$what" "$state" "$queue" \
        "$(total "$log.results" passed)" "$(total "$log.results" failed)" "$(total "$log.results" ignored)" \
        "$(total "$log.results" "filtered out")" $((SECONDS - start)) "$result")")
}

# The servers that the fault tests start: the installed ones.
own_versions() {
    local database broker
    database=$(initdb --version 2>/dev/null | awk '{ print $3 }') || true
    broker=$(rabbitmqctl version 2>/dev/null) || true
    echo "PostgreSQL ${database:-unknown}, RabbitMQ ${broker:-unknown}"
}

report() {
    say "" "Ran, on $(nproc) processors:"
    say "$(printf '%-30s %-18s %-18s %6s %6s %7s %8s %7s' what state queue passed failed ignored filtered seconds)"
    printf '%s\n' "${rows[@]}" >&2
    say "" "Servers: PostgreSQL $database_from, RabbitMQ $broker_from."
    if $servers && $own_servers; then say "faults::, operators:: and operators_policies:: start their own: $(own_versions)."; fi
    say "" "Left out on purpose:" "- on files: what needs PostgreSQL or RabbitMQ (ignored)."
    if $servers; then
        say "- on servers: the unit tests, which know of no server; ${files[*]}, which know" \
            "  files and sources alone; random cases beyond $server_cases a property (PROPTEST_CASES). On files they ran." \
            "- $last: all other tests (filtered). They ran before."
    fi
    say "Not there yet: the console in a browser."
    if ((${#not_run[@]} > 0)); then
        say "" "NOT RUN:" "${not_run[@]/#/- }" "For it:" "${lacks[@]/#/- }"
        failed=1
    fi
}

find_programs
have cargo || die "cargo is missing: install Rust from https://rustup.rs and run this again."
need cc gcc libc6-dev ||
    die "cc is missing, and the dependencies are built with it: install it (Debian: apt-get install gcc libc6-dev) and run this again."
find_own_servers
own_servers=false
if $own_database && $own_broker; then own_servers=true; fi
servers=true
find_database || { servers=false; lack "No PostgreSQL: name one in SAPO_SYNC_TEST_DATABASE_URL, or start Docker."; }
find_broker || { servers=false; lack "No RabbitMQ: name one in SAPO_SYNC_TEST_BROKER_URL, or start Docker."; }

# These wait for the servers more than they compute. Those that look at rates or kill servers have the machine to themselves;
# those that only know files or the sources have run. Random cases are fewer here, for each makes queues of its own.
alone=(limits:: fairness:: faults::)
files=(sqlite:: embedded:: layers:: deploy:: full_disk::)
server_cases=${PROPTEST_CASES:-4}
skipped=("${alone[@]}" "${files[@]}")
last="rates, fairness, faults"
if ! $own_servers; then
    alone=(limits:: fairness::)
    skipped+=(operators:: operators_policies::)
    last="rates, fairness"
    not_run+=("faults::, operators:: and operators_policies::, which start and kill servers of their own")
fi

run "every test" SQLite embedded cargo test --locked --no-fail-fast -- --test-threads=4
if $servers; then
    export SAPO_SYNC_TEST_DATABASE_URL=$database_url SAPO_SYNC_TEST_BROKER_URL=$broker_url
    export SAPO_SYNC_TEST_BACKEND=servers
    mapfile -t skip < <(printf -- '--skip\n%s\n' "${skipped[@]}")
    PROPTEST_CASES=$server_cases run "integration tests" "$database" "$broker" \
        cargo test --locked --no-fail-fast --test it -- --include-ignored --test-threads=4 "${skip[@]}"
    PROPTEST_CASES=$server_cases run "$last" "$database" "$broker" \
        cargo test --locked --no-fail-fast --test it -- --include-ignored --test-threads=1 "${alone[@]}"
else
    not_run+=("the integration tests on PostgreSQL and RabbitMQ, with those that need them")
fi
report
exit "$failed"
