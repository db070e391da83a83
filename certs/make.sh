#!/bin/sh
# Makes the lab's certificates: a CA, an intermediate, and one certificate for each thing that can be
# right or wrong about a certificate. See README.md beside this file for the list.
#
#   certs/make.sh [DIR]      DIR defaults to certs/lab beside this script
#
# Does nothing when DIR is complete, was made by this very script and is good for another week.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-$here/lab}"
cd "${1:-$here/lab}"

# Test suites run in parallel: whoever comes first makes them, the others wait.
exec 9> .lock
flock 9

mark=$(cksum < "$here/make.sh")
if [ "$(cat .complete 2> /dev/null)" = "$mark" ] &&
    openssl x509 -in server.pem -noout -checkend 604800 > /dev/null; then
    exit 0
fi
if [ ! -e make.log ] && ls ./*.pem ./*.key ./*.pfx > /dev/null 2>&1; then
    echo "make.sh: $(pwd) holds keys or certificates that this script did not make" >&2
    exit 1
fi
rm -f .complete ./*.pem ./*.key ./*.pfx ./*.pw ./*.csr index.txt* serial*

cat > openssl.cnf <<'CNF'
[req]
distinguished_name = dn
prompt = no
[dn]
[ca]
default_ca = lab
[lab]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
x509_extensions = leaf
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[between]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CNF
: > index.txt
echo 1000 > serial
log=make.log
: > $log

names="DNS:mail.contoso.test,DNS:autodiscover.contoso.test,DNS:localhost,IP:127.0.0.1"
first=$(date -u -d '1 day ago' +%Y%m%d%H%M%SZ)
last=$(date -u -d '2 years' +%Y%m%d%H%M%SZ)

# key FILE ec|rsa
key()
{
    case $2 in
    ec) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>> $log ;;
    rsa) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1" 2>> $log ;;
    esac
}

# issue NAME SUBJECT SAN [FIRST LAST]: signs NAME.key's certificate, chain behind it, into NAME.pem
issue()
{
    openssl req -new -config openssl.cnf -key "$1.key" -subj "/CN=$2" \
        -addext "subjectAltName=$3" -out "$1.csr" 2>> $log
    openssl ca -batch -config openssl.cnf -notext -cert intermediate.pem -keyfile intermediate.key \
        -startdate "${4:-$first}" -enddate "${5:-$last}" -in "$1.csr" -out "$1.pem" 2>> $log
    cat intermediate.pem >> "$1.pem"
    rm -f "$1.csr"
}

# pfx NAME OPTION...: server-rsa with its whole chain as a Windows export has it
pfx()
{
    name=$1
    shift
    openssl pkcs12 -export -inkey server-rsa.key -in server-rsa.pem -certfile ca.pem \
        -name mail.contoso.test -out "$name.pfx" "$@" 2>> $log
}

key ca.key ec
openssl req -x509 -new -config openssl.cnf -extensions root -key ca.key -days 3650 \
    -subj "/CN=casgate lab CA" -out ca.pem 2>> $log
key intermediate.key ec
openssl req -new -config openssl.cnf -key intermediate.key -subj "/CN=casgate lab intermediate" \
    -out intermediate.csr 2>> $log
openssl ca -batch -config openssl.cnf -notext -extensions between -cert ca.pem -keyfile ca.key \
    -startdate "$first" -enddate "$last" -in intermediate.csr -out intermediate.pem 2>> $log
rm -f intermediate.csr

for name in server expired wildcard wrong-name cas; do key $name.key ec; done
key server-rsa.key rsa

issue server mail.contoso.test "$names"
issue server-rsa mail.contoso.test "$names"
issue wildcard '*.contoso.test' 'DNS:*.contoso.test'
issue wrong-name other.example.test DNS:other.example.test
issue cas mail.contoso.test "$names,DNS:cas1.contoso.test"
issue expired mail.contoso.test "$names" 20200101000000Z 20210101000000Z

cp server.key reissued.key
issue reissued mail.contoso.test "$names"
key self-signed.key ec
openssl req -x509 -new -config openssl.cnf -extensions leaf -key self-signed.key -days 730 \
    -subj "/CN=mail.contoso.test" -addext "subjectAltName=$names" -out self-signed.pem 2>> $log

printf 'K\303\244se und Brot 4711\r\n' > server.pw
printf 'not the password\n' > wrong.pw
password=$(tr -d '\r\n' < server.pw)
pfx server-aes -keypbe AES-256-CBC -certpbe AES-256-CBC -macalg sha256 -passout "pass:$password"
pfx server-3des -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1 \
    -passout "pass:$password"
pfx server-rc2 -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1 \
    -passout "pass:$password"
pfx server-nopassword -passout pass:

rm -f index.txt* serial* openssl.cnf [0-9A-F]*.pem
# one file holding key and chain, as some deployment tools write it
cat server.key server.pem > server-all.pem
echo "$mark" > .complete
