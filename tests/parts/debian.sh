#!/usr/bin/env bash
# Unpacks Debian packages, and what they need beyond what is installed, into a folder: nothing is installed, nobody need be root.
#
#   tests/parts/debian.sh FOLDER PACKAGE…
set -euo pipefail
folder="$(mkdir -p "$1" && cd "$1" && pwd)"
shift
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
options=(-qq -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o "Dir::State::extended_states=$folder/apt/states"
    -o "Dir::Cache::archives=$folder/apt/archives" -o Debug::NoLocking=true -o APT::Sandbox::User=root -o APT::Keep-Downloaded-Packages=true)
apt-get "${options[@]}" update
rm -f "$folder"/apt/archives/*.deb
apt-get "${options[@]}" install --download-only --reinstall --no-install-recommends --yes "$@" >/dev/null
for package in "$folder"/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder"
done
rm -rf "$folder/apt"
# Links to files by absolute name (of Java to its settings) lead to where those were unpacked.
find "$folder" -type l -lname '/*' | while read -r link; do
    target="$folder$(readlink "$link")"
    [[ ! -e $target ]] || ln -sfnr "$target" "$link"
done
