#!/bin/sh
# Debian's nginx for the benchmarks, unpacked into FOLDER/nginx: nothing is installed and no service is started.
# Usage: get-nginx.sh FOLDER
set -eu
into="$1/nginx"
program="usr/sbin/nginx"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

unpack() {
    for package in nginx nginx-core nginx-light; do
        apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb . || continue
        if [ -x "$program" ] && "$program" -v; then return 0; fi
    done
    return 1
}

mkdir -p "$into"
cd "$into"
if unpack 2>/dev/null; then exit 0; fi
if as_root apt-get update -q && unpack; then exit 0; fi
if as_root apt-get install -y --no-install-recommends nginx-light; then
    echo "nginx is installed now; if its service was started too, stop it: systemctl disable --now nginx"
    exit 0
fi
echo "nginx, the peer of the benchmarks, cannot be had: this needs Debian's apt-get and a package archive." >&2
echo "Install nginx with your system's own tools, so that it is on PATH or at /usr/sbin/nginx, and try again." >&2
exit 1
