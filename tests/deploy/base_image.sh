#!/usr/bin/env bash
# Makes a base image out of Debian's packages, where no container registry can be reached:
#   tests/deploy/base_image.sh localhost/slack-mcp-base
# Needs buildah and mmdebstrap; debootstrap's mirror is that of this machine's apt.
set -euo pipefail
image=${1:?the name of the image to make}
suite=bookworm

folder=$(mktemp -d)
container=
trap 'rm -rf "$folder"; if [ -n "$container" ]; then buildah rm "$container" >/dev/null; fi' EXIT

mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    "$suite" "$folder/root.tar"
container=$(buildah from scratch)
buildah add --quiet "$container" "$folder/root.tar" / >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet "$container" "$image" >/dev/null
echo "Made $image from Debian $suite."
