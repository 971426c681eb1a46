#!/usr/bin/env bash
# Blue-green releases with the chart: stage a build on the colour that is idle, switch, switch back, retire the old one.
#
#   deploy/blue-green.sh stage 1.5.0      the idle colour runs it, reached by the Service …-preview
#   deploy/blue-green.sh switch [1.5.0]   the idle colour becomes the active one; a second time: back
#   deploy/blue-green.sh retire           the colour that is not active goes
#   deploy/blue-green.sh contract         what only builds before the active one needed is removed from the tables
#   deploy/blue-green.sh status
#
# RELEASE and NAMESPACE are both `platform` unless they are set; VALUES names a file of values, IMAGE the image without its
# tag. A release that is not there yet gets its first build at once; one that rolled so far keeps its pods as active colour.
# TIMEOUT is what Helm waits at the most, 15m unless it is set: longer than migrations may take. Helm 3.14 or newer and jq
# are needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

release=${RELEASE:-platform}
namespace=${NAMESPACE:-platform}

value() { jq -r ".$1 // \"\"" <<< "$values"; }
other() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }
refuse() {
    echo "$1" >&2
    exit 1
}
# Contract revisions are run by the upgrade that asks for them, never again by a later one that keeps its values.
upgrade() {
    helm -n "$namespace" upgrade --install "$release" helm/platform --reset-then-reuse-values --wait --timeout "${TIMEOUT:-15m}" \
        ${VALUES:+--values "$VALUES"} ${IMAGE:+--set-string "image.repository=${IMAGE,,}"} \
        --set release.strategy=blueGreen --set-string migrations.contract= "$@"
}

found=$(helm -n "$namespace" list --filter "^$release\$" --output json)
values='{}'
if [ "$(jq length <<< "$found")" != 0 ]; then
    values=$(helm -n "$namespace" get values "$release" --all --output json)
fi
active=$(value release.blueGreen.active)
active=${active:-blue}
idle=$(other "$active")
running=$(value "release.blueGreen.$active")
staged=$(value "release.blueGreen.$idle")
if [ "$(value release.strategy)" != blueGreen ]; then
    staged=
    running=$(value image.tag)
    running=${running:-$(jq -r '.[0].app_version // ""' <<< "$found")}
    case "${1:-}" in
        switch | retire | contract) refuse "$release has no colours yet: deploy/blue-green.sh stage TAG comes first" ;;
    esac
fi

case "${1:-}" in
    stage)
        tag=${2:?which image tag? deploy/blue-green.sh stage TAG}
        if [ "$tag" = "$running" ]; then
            echo "clients are with $active, $tag, already"
            exit
        fi
        colour=$idle
        if [ -z "$running" ]; then colour=$active; fi # the first build of all: nobody is with an older one
        upgrade --set-string "release.blueGreen.$active=$running" --set-string "release.blueGreen.$colour=$tag" \
            --set-string "migrations.tag=$tag"
        helm -n "$namespace" test "$release"
        echo "$colour runs $tag; clients are with $active"
        ;;
    switch)
        if [ -n "${2:-}" ] && [ "$2" = "$running" ]; then
            echo "clients are with $active, $running, already"
            exit
        fi
        if [ -z "$staged" ] || [ "${2:-$staged}" != "$staged" ]; then
            refuse "$idle runs ${staged:-no build}: deploy/blue-green.sh stage ${2:-TAG} comes first"
        fi
        # migrations.tag stays what was staged: on the way back the older build must not migrate the newer one's tables
        upgrade --set "release.blueGreen.active=$idle"
        echo "clients are with $idle, $staged"
        ;;
    retire)
        upgrade --set-string "release.blueGreen.$idle="
        echo "$idle is gone; $active stays"
        ;;
    contract)
        if [ -n "$staged" ]; then refuse "$idle still runs $staged: deploy/blue-green.sh retire comes first"; fi
        upgrade --set-string "migrations.contract=$running"
        echo "contract revisions are run by the Job of $running; platform db current tells when nothing is pending"
        ;;
    status)
        echo "active: $active, ${running:-none}; idle: $idle, ${staged:-none}"
        ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
