#!/bin/sh
# Makes a certificate authority that is good for this machine alone, and a certificate for localhost by it. What is there
# already stays, unless it ends within 30 days. A folder may be given; the default is not committed.
set -eu
folder=${1:-$(dirname "$0")/local}
month=2592000
umask 077
mkdir -p "$folder/gateway"
cd "$folder"

is_good() { openssl x509 -in "$1" -noout -checkend "$month" >/dev/null 2>&1; }
make_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

if ! is_good authority.pem; then
  make_key authority-key.pem
  cat > authority.cnf <<'EOF'
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = Gatehouse local authority
[extensions]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
# Whoever gets hold of its key can pretend to be this machine, and nobody else.
nameConstraints = critical, permitted;DNS:localhost, permitted;IP:127.0.0.1/255.255.255.255, permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
EOF
  openssl req -x509 -new -key authority-key.pem -config authority.cnf -days 3650 -out authority.pem
  rm -f authority.cnf gateway/certificate.pem
fi

if ! is_good gateway/certificate.pem; then
  make_key new-key.pem
  cat > certificate.cnf <<'EOF'
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
authorityKeyIdentifier = keyid
EOF
  openssl req -new -key new-key.pem -subj /CN=localhost -out request.pem
  openssl x509 -req -in request.pem -CA authority.pem -CAkey authority-key.pem -set_serial "0x$(openssl rand -hex 16)" \
    -days 397 -extfile certificate.cnf -out new-certificate.pem 2>/dev/null
  mv new-key.pem gateway/key.pem
  mv new-certificate.pem gateway/certificate.pem
  rm -f certificate.cnf request.pem
fi

# The container's user is another one; the key of the authority stays with yours.
chmod 711 . gateway
chmod 644 authority.pem gateway/*.pem
printf '%s\n' "$(pwd)/authority.pem"
