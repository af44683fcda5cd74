#!/usr/bin/env bash
# archive.sh NAME DIR: the program of DIR with README and licences, as NAME.tar.gz, on Windows as NAME.zip.
set -euo pipefail
name=$1 programs=$2
rm -rf "$name"
mkdir "$name"
cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT assets/fonts/LICENSE-DejaVu.txt "$name"
if [ -f "$programs/mllmseg.exe" ]; then
  cp "$programs/mllmseg.exe" "$name"
  7z a -bso0 "$name.zip" "$name"
else
  cp "$programs/mllmseg" "$name"
  tar -czf "$name.tar.gz" "$name"
fi
