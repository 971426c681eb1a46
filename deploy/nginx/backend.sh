#!/usr/bin/env bash
# Take one of the API's processes out of nginx's rotation before it is stopped, and put it back when it is ready.
#
#   deploy/nginx/backend.sh out 127.0.0.1:8001     returns when nothing that it was sent is under way any more
#   deploy/nginx/backend.sh in 127.0.0.1:8001
#
# HOME_OF_NGINX is where nginx.conf and site/ are; /etc/platform-nginx unless it is set.
set -euo pipefail

home=${HOME_OF_NGINX:-/etc/platform-nginx}
backends=$home/site/backends.conf
address=${2:?which process? its address, as in $backends}

workers() { pgrep --parent "$(cat "$home/nginx.pid")" | sort; }

# Each reload brings new workers; the old ones end with the last request that they carry.
reload() {
    local before
    before=$(workers)
    nginx -p "$home" -c nginx.conf -s reload
    until [ "$(workers)" != "$before" ]; do sleep 0.1; done
    while comm -12 <(workers) <(echo "$before") | grep -q .; do sleep 0.1; done
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
        sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
nginx -t -q -p "$home" -c nginx.conf
reload
