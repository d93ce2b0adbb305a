#!/usr/bin/env bash
# Sets the policies of sapo-sync's queues on a running broker; run it where rabbitmqctl works. Running it again is fine.
#
#   deploy/rabbitmq/set-policies.sh [VHOST] [PREFIX]     # sapo-sync and sapo-sync where none is given
#
# RabbitMQ applies one policy to a queue, that of the highest priority, and of `overflow` it believes the policy rather
# than the queue's own argument, of `delivery-limit` the smaller of both. So a policy for all queues, made for somebody
# else, could make these drop messages. These stand in its way. See README.md.
set -euo pipefail

vhost=${1:-sapo-sync}
prefix=${2:-sapo-sync}
# Dots of the prefix are dots.
begins="^${prefix//./\\.}\\."

set_policy() {
    rabbitmqctl set_policy --vhost "$vhost" --priority 100 --apply-to queues "$1" "$2" "$3"
}

set_policy "$prefix-events" "${begins}(order|product|customer)\\.[0-9]+\$" \
    '{"delivery-limit":1000,"dead-letter-strategy":"at-least-once","overflow":"reject-publish"}'
set_policy "$prefix-dead" "${begins}dead\$" \
    '{"delivery-limit":1000000000,"overflow":"reject-publish"}'
set_policy "$prefix-probe" "${begins}probe\$" \
    '{"overflow":"drop-head"}'
