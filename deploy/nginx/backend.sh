#!/usr/bin/env bash
# Take one of the API's processes out of nginx's rotation before it is stopped, and put it back when it is ready.
#
#   deploy/nginx/backend.sh out 127.0.0.1:8001     returns when nothing that it was sent is under way any more
#   deploy/nginx/backend.sh in 127.0.0.1:8001
#
# HOME_OF_NGINX is where nginx.conf and site/ are; /etc/platform-nginx unless it is set.
# RELOAD_SECONDS is how long nginx may take for a new configuration (30), DRAIN_SECONDS how long `out` waits (60): what
# is under way even then, an event stream or a long upload, is left to the process, which ends in order.
# pgrep and ss have to be there (Debian: procps, iproute2).
set -euo pipefail

home=${HOME_OF_NGINX:-/etc/platform-nginx}
reload_seconds=${RELOAD_SECONDS:-30}
drain_seconds=${DRAIN_SECONDS:-60}
backends=$home/site/backends.conf
address=${2:?which process? its address, as in $backends}

# The workers that take requests; those of an older configuration are "shutting down", and only end what they carry.
workers() { pgrep --parent "$(cat "$home/nginx.pid")" --full 'worker process *$' | sort; }

reload() {
    local before deadline=$((SECONDS + reload_seconds))
    before=$(workers)
    nginx -p "$home" -c nginx.conf -s reload
    until [ -n "$(workers)" ] && [ -z "$(comm -12 <(workers) <(echo "$before"))" ]; do
        if ((SECONDS >= deadline)); then
            echo "nginx has not taken the new $backends after $reload_seconds s and goes on with the one before;" \
                "$home/error.log says why" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Connections from here to the process. Workers that end keep no idle ones, and new ones do not ask it any more, so each
# is a request that is under way.
under_way() { ss --no-header --tcp --numeric state established dst "$address"; }

drain() {
    local left deadline=$((SECONDS + drain_seconds))
    while true; do
        left=$(under_way | wc -l)
        if ((left == 0)); then return; fi
        if ((SECONDS >= deadline)); then
            echo "$address is out of the rotation; requests that are still under way there: $left" >&2
            return
        fi
        sleep 0.1
    done
}

if ! grep -q "server ${address}[ ;]" "$backends"; then
    echo "$backends has no server $address" >&2
    exit 1
fi
case "$1" in
    out)
        if ! grep '^ *server ' "$backends" | grep -v "server ${address}[ ;]" | grep -vq ' down;'; then
            echo "$address is the last one in the rotation: nobody would answer" >&2
            exit 1
        fi
        sed -i "/server ${address}[ ;]/{/ down;/!s/;/ down;/}" "$backends"
        ;;
    in) sed -i "/server ${address}[ ;]/s/ down;/;/" "$backends" ;;
    *)
        sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
nginx -t -q -p "$home" -c nginx.conf
reload
if [ "$1" = out ]; then drain; fi
