#!/bin/sh
# Makes what compose.yaml needs, as files that only their reader can read, and leaves what is there already: SECRET, the
# database's passwords, and a certificate by which Latchkey knows its database.
#
#   secrets.sh FOLDER_FOR_LATCHKEY FOLDER_FOR_THE_DATABASE
set -eu
umask 077

latchkey=$1
db=$2
# How Latchkey calls the database, and where Latchkey will find its folder.
host=${DB_HOST:-db}
mounted=${SECRETS_AT:-/secrets}
# The users of the two images.
latchkey_user=10001:10001
db_user=999:999

# put FILE USER: what comes in, as a file that is there whole or not at all. Only root can give it away.
put() {
  rm -f "$1.new"
  cat >"$1.new"
  chmod 400 "$1.new"
  [ "$(id -u)" != 0 ] || chown "$2" "$1.new"
  mv "$1.new" "$1"
}

random() { openssl rand -hex 32; }

if [ ! -e "$latchkey/secret" ]; then
  # Into a variable first: of a pipe sh does not see that its left side failed.
  secret=$(random)
  echo "$secret" | put "$latchkey/secret" "$latchkey_user"
fi

# The last file that is made says that the others are there.
if [ ! -e "$latchkey/database_url" ]; then
  password=$(random)
  root_password=$(random)
  echo "$root_password" | put "$db/root_password" "$db_user"
  echo "$password" | put "$db/password" "$db_user"
  echo "mysql://latchkey:$password@$host:3306/latchkey?ssl-mode=verify_identity&ssl-ca=$mounted/ca.pem" |
    put "$latchkey/database_url" "$latchkey_user"
fi

# An authority that signs this one certificate: its key is gone afterwards, so that nobody can make another.
if [ ! -e "$db/cert.pem" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$host" >"$work/extensions"
  {
    key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    # shellcheck disable=SC2086
    openssl req -x509 $key -days 3650 -subj "/CN=Authority of $host" -keyout "$work/ca.key" -out "$work/ca.pem"
    # shellcheck disable=SC2086
    openssl req $key -subj "/CN=$host" -keyout "$work/key.pem" -out "$work/request.pem"
    openssl x509 -req -in "$work/request.pem" -days 3650 -extfile "$work/extensions" \
      -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -out "$work/cert.pem"
  } 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  put "$latchkey/ca.pem" "$latchkey_user" <"$work/ca.pem"
  put "$db/key.pem" "$db_user" <"$work/key.pem"
  put "$db/cert.pem" "$db_user" <"$work/cert.pem"
fi
