#!/bin/sh
# Debian's wrk for the benchmarks, unpacked into FOLDER/wrk: nothing is installed.
# Usage: get-wrk.sh FOLDER
set -eu
into="$1/wrk"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

unpack() {
    apt-get download -q wrk libluajit-5.1-2 && for package in *.deb; do dpkg-deb -x "$package" . || return 1; done
    test -x usr/bin/wrk
}

mkdir -p "$into"
cd "$into"
if unpack || { as_root apt-get update -q && unpack; }; then
    rm -f ./*.deb
    exit 0
fi
echo "wrk, which drives this benchmark, cannot be had: this needs Debian's apt-get and its package archive." >&2
exit 1
