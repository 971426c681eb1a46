#!/usr/bin/env bash
# A rolling release with the chart, as development and staging have it: IMAGE and TAG, with the values of VALUES.
# TIMEOUT is what Helm waits at the most, 15m unless it is set: longer than migrations may take.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

release=${RELEASE:-platform}
namespace=${NAMESPACE:-platform}
image=${IMAGE:?which image?}
roll() {
    helm -n "$namespace" upgrade --install "$release" helm/platform --values "${VALUES:?which file of values?}" \
        --set-string "image.repository=${image,,}" --set-string "image.tag=${TAG:?which tag?}" --wait --timeout "${TIMEOUT:-15m}"
    helm -n "$namespace" test "$release"
}

if [ -n "${KUBECONFIG_CONTENT:-}" ]; then
    exec deploy/cluster.sh env RELEASE="$release" NAMESPACE="$namespace" deploy/roll.sh
fi
roll
