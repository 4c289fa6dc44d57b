#!/usr/bin/env bash
# The Dockerfile's base image under the name $1: pulled, or where no image registry is reachable
# put together from Debian packages of the same Python.
set -euo pipefail
buildah pull --quiet "$1" && exit
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
mmdebstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates \
  trixie "$scratch/base.tar"
container=$(buildah from scratch)
buildah add --quiet "$container" "$scratch/base.tar" /
# As in the official image: python in /usr/local/bin, and a pip that may install.
buildah run --isolation chroot "$container" -- sh -c \
  'ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3 &&
   rm /usr/lib/python3*/EXTERNALLY-MANAGED'
buildah config --cmd python3 \
  --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --rm "$container" "$1"
