#!/bin/sh
# Debian's PostgreSQL 15 with PostGIS for the benchmarks, unpacked into FOLDER/debian: nothing is installed and no
# service is started. Debian 12 (or a release that has these packages) is needed.
# Usage: get-postgis.sh FOLDER
set -eu
into="$1/debian"
server="usr/lib/postgresql/15/bin/postgres"
extensions="usr/share/postgresql/15/extension"
wanted="postgresql-15 postgresql-15-postgis-3"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# what apt would install beside what is there, and the server itself in any case
unpack() {
    missing=$(apt-get install -s --no-install-recommends $wanted | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    apt-get download -q $(printf '%s\n' $missing $wanted | sort -u)
    for package in *.deb; do dpkg-deb -x "$package" . || return 1; done
    # Debian's alternatives make this one when the package is installed
    cp "$extensions/postgis-3.control" "$extensions/postgis.control"
    LD_LIBRARY_PATH="$PWD/usr/lib/x86_64-linux-gnu" "$server" --version
}

rm -rf "$into.new"
mkdir -p "$into.new"
cd "$into.new"
if unpack || { as_root apt-get update -q && unpack; }; then
    rm -f ./*.deb
    rm -rf "$into"
    mv "$into.new" "$into"
    exit 0
fi
echo "PostgreSQL 15 with PostGIS, which the peer of this benchmark needs, cannot be had: this needs Debian 12's" >&2
echo "apt-get and its package archive." >&2
exit 1
