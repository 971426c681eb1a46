#!/usr/bin/env bash
# Watch a fresh release: exit 1 when the objective is broken for three looks in a row, 0 after it held for a quarter of an hour.
#
#   PROMETHEUS_URL=http://prometheus:9090 deploy/watch-objective.sh
#
# Broken: more than 1 % of the requests of the last two minutes are answered with a 5xx, or one in twenty takes longer than
# half a second, or nobody is seen at all, or Prometheus does not answer. One bad look says little: a scrape may be missing, a
# connection lost. SECONDS_WATCHED, PAUSE_SECONDS, BAD_LOOKS and NAMESPACE may be set.
set -euo pipefail

url=${PROMETHEUS_URL:?where is Prometheus? PROMETHEUS_URL=http://…}
scope="namespace=\"${NAMESPACE:-platform}\""
watched=${SECONDS_WATCHED:-900}
pause=${PAUSE_SECONDS:-20}
allowed=${BAD_LOOKS:-3}

# the first value of a query; 0 where there is none, because a series that never failed is not there
ask() {
    curl --fail --silent --show-error --max-time 10 --get "$url/api/v1/query" --data-urlencode "query=$1" |
        jq -er '.data.result[0].value[1] // "0"'
}
above() { awk -v value="$1" -v limit="$2" 'BEGIN { exit !(value != "NaN" && value + 0 > limit + 0) }'; }

# prints what is wrong, or nothing
look() {
    local requests="platform_http_requests_total{$scope" seen failed slow
    if ! seen=$(ask "count(platform_build_info{$scope})") ||
        ! failed=$(ask "sum(rate($requests,status=~\"5..\"}[2m])) / sum(rate($requests}[2m]))") ||
        ! slow=$(ask "histogram_quantile(0.95, sum by (le) (rate(platform_http_request_duration_seconds_bucket{$scope}[2m])))"); then
        echo "Prometheus does not answer"
        return
    fi
    echo "processes $seen, failed $failed, p95 $slow s" >&2
    if ! above "$seen" 0; then
        echo "no process of the platform is seen"
    elif above "$failed" 0.01; then
        echo "more than 1 % of the requests fail"
    elif above "$slow" 0.5; then
        echo "one request in twenty takes longer than half a second"
    fi
}

bad=0
deadline=$(($(date +%s) + watched))
while [ "$bad" -gt 0 ] || [ "$(date +%s)" -lt "$deadline" ]; do
    problem=$(look)
    if [ -z "$problem" ]; then
        bad=0
    else
        bad=$((bad + 1))
        echo "$problem ($bad of $allowed)" >&2
        if [ "$bad" -ge "$allowed" ]; then exit 1; fi
    fi
    sleep "$pause"
done
echo "the objective held for $watched seconds"
