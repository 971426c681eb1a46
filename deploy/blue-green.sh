#!/usr/bin/env bash
# Blue-green releases with the chart: stage a build on the colour that is idle, switch, switch back, retire the old one.
#
#   deploy/blue-green.sh stage 1.5.0    the idle colour runs it, reached by the Service …-preview
#   deploy/blue-green.sh switch         the idle colour becomes the active one; a second time: back
#   deploy/blue-green.sh retire         the colour that is not active goes
#   deploy/blue-green.sh status
#
# RELEASE and NAMESPACE are both `platform` unless they are set; VALUES names a file for a first `stage`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

release=${RELEASE:-platform}
namespace=${NAMESPACE:-platform}

value() { helm -n "$namespace" get values "$release" --all --output json | jq -er ".release.blueGreen.$1"; }
other() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }
upgrade() {
    helm -n "$namespace" upgrade "$release" helm/platform --reuse-values --wait --timeout 15m \
        --set release.strategy=blueGreen "$@"
}

active=$(value active)
idle=$(other "$active")
case "${1:-}" in
    stage)
        tag=${2:?which image tag? deploy/blue-green.sh stage TAG}
        upgrade ${VALUES:+--values "$VALUES"} --set "release.blueGreen.$idle=$tag"
        helm -n "$namespace" test "$release"
        echo "$idle runs $tag; clients are with $active"
        ;;
    switch)
        tag=$(value "$idle")
        if [ -z "$tag" ]; then
            echo "$idle has no build: deploy/blue-green.sh stage TAG comes first" >&2
            exit 1
        fi
        # the migrations of the newer build have run; going back must not run the older one's over them
        upgrade --set "release.blueGreen.active=$idle" --set "migrations.tag=${MIGRATION_TAG:-$tag}"
        echo "clients are with $idle, $tag"
        ;;
    retire)
        upgrade --set "release.blueGreen.$idle="
        echo "$idle is gone; $active stays"
        ;;
    status)
        echo "active: $active, $(value "$active"); idle: $idle, $(value "$idle" || echo none)"
        ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
