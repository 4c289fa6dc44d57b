# curl --http2, which offers to upgrade: `bash curl_http2.sh URL KEY SIZE`; prints what it got as JSON.
set -euo pipefail
url=$1 key=$2 size=$3

ask() { # LENGTH KEY: the status of a request with one text of so many letters
  { printf '{"texts": ["'; head -c "$1" /dev/zero | tr '\0' x; printf '"]}'; } |
    curl --silent --show-error --http2 --output /dev/null --write-out '%{http_code}' \
      --header 'Content-Type: application/json' --header "Authorization: Bearer $2" \
      --data-binary @- "$url/v1/classify"
}

small="$(ask 9 "$key"), $(ask 9 "$key"), $(ask 9 "$key")"
large=$(ask "$size" "$key")
unauthorized=$(ask "$size" another)
printf '{"small": [%s], "large": %s, "unauthorized": %s, "after": %s}\n' \
  "$small" "$large" "$unauthorized" "$(ask 9 "$key")"
