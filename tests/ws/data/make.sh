#!/bin/sh
# Makes the certificates of the TLS tests, valid until 2126: an authority, a server's and a client's.
set -e
cd "$(dirname "$0")"
new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500"
$new -x509 -subj "/CN=ocppj test authority" -keyout ca.key -out ca.pem \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
for name in server client; do
    $new -subj "/CN=$([ $name = client ] && echo CP_1 || echo localhost)" -keyout $name.key -out $name.csr
    {
        echo "subjectAltName=DNS:localhost,IP:127.0.0.1"
        echo "basicConstraints=critical,CA:FALSE"
        echo "subjectKeyIdentifier=hash"
        echo "authorityKeyIdentifier=keyid"
    } > ext
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -extfile ext -out $name.crt
    cat $name.key $name.crt > $name.pem
    rm $name.key $name.csr $name.crt ext
done
rm -f ca.key ca.srl
