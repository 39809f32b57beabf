#!/bin/sh
# Prints keys.cfg for the keys in a folder, each in a file KID.pem, as `latchkey keys export --pem --dir DIR` writes them.
# HAProxy reads a key at its start, and only one that stands in its configuration: here they stand, in a backend that nobody
# comes to. (There the algorithm is none but a word that HAProxy wants; a key of RS256 is read as well.)
#
#   keys.sh /etc/haproxy/latchkey > /etc/haproxy/keys.cfg
set -eu

echo '# Made by keys.sh.'
echo 'backend latchkey-keys'
echo '  mode http'
for file in "$1"/*.pem; do
  # An empty folder would be a gateway that lets nobody in.
  [ -e "$file" ] || { echo "There is no key in $1." >&2; exit 1; }
  echo "  http-request deny if { str(),jwt_verify(\"ES256\",\"$file\") -m int 1 }"
done
