#!/usr/bin/env bash
# Run a command with the cluster's credentials of KUBECONFIG_CONTENT, which lie in a file only while it runs.
set -euo pipefail
: "${KUBECONFIG_CONTENT:?the content of a kubeconfig}"

umask 077
KUBECONFIG=$(mktemp)
export KUBECONFIG
trap 'rm -f "$KUBECONFIG"' EXIT
printf '%s' "$KUBECONFIG_CONTENT" > "$KUBECONFIG"
unset KUBECONFIG_CONTENT
"$@"
