#!/usr/bin/env bash
# Watch a fresh release: exit 1 as soon as the objective is broken, 0 after it held for a quarter of an hour.
#
#   PROMETHEUS_URL=http://prometheus:9090 deploy/watch-objective.sh
#
# Broken: more than 1 % of the requests of the last two minutes are answered with a 5xx, or one in twenty takes longer than
# half a second, or nobody is seen at all. SECONDS_WATCHED, PAUSE_SECONDS and NAMESPACE may be set.
set -euo pipefail

url=${PROMETHEUS_URL:?where is Prometheus? PROMETHEUS_URL=http://…}
scope="namespace=\"${NAMESPACE:-platform}\""
watched=${SECONDS_WATCHED:-900}
pause=${PAUSE_SECONDS:-20}

# the first value of a query; 0 where there is none, because a series that never failed is not there
ask() {
    curl --fail --silent --show-error --get "$url/api/v1/query" --data-urlencode "query=$1" |
        jq -er '.data.result[0].value[1] // "0"'
}
above() { awk -v value="$1" -v limit="$2" 'BEGIN { exit !(value != "NaN" && value + 0 > limit + 0) }'; }

requests="platform_http_requests_total{$scope"
deadline=$(($(date +%s) + watched))
while [ "$(date +%s)" -lt "$deadline" ]; do
    seen=$(ask "count(platform_build_info{$scope})")
    failed=$(ask "sum(rate($requests,status=~\"5..\"}[2m])) / sum(rate($requests}[2m]))")
    slow=$(ask "histogram_quantile(0.95, sum by (le) (rate(platform_http_request_duration_seconds_bucket{$scope}[2m])))")
    echo "processes $seen, failed $failed, p95 $slow s"
    if ! above "$seen" 0; then
        echo "no process of the platform is seen" >&2
        exit 1
    fi
    if above "$failed" 0.01; then
        echo "more than 1 % of the requests fail" >&2
        exit 1
    fi
    if above "$slow" 0.5; then
        echo "one request in twenty takes longer than half a second" >&2
        exit 1
    fi
    sleep "$pause"
done
echo "the objective held for $watched seconds"
