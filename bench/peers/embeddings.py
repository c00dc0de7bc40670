"""Embedding real texts: tastemaker and sentence-transformers in turn, one table.

    scripts/fetch-models.sh
    python3 bench/peers/embeddings.py ../shared/data/amazon-beauty/items.tsv.gz

Embeds one text an item: the tab-separated file's column --column (title), its first --texts (2048)
of them. Makes an environment of its own from requirements-text.txt (in target/peers-text; --python
names one that is there). Both sides use --threads (2) threads and the same weights, in f32 and, on
our side, in bf16 too, and run one after the other --rounds (5) times, so that a slow minute of the
machine meets both. Prints a Markdown table: medians of texts a second, their least and most. (That
both sides find the same is a test's business, crates/tastemaker-nn/tests/it/text.rs.)
"""

import argparse
import csv
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from peers import ROOT, bench, environment, run


def theirs(model, path):
    """What the peer's own process does: once to warm up, once for the clock."""
    from sentence_transformers import SentenceTransformer
    import torch

    torch.set_num_threads(int(os.environ["RAYON_NUM_THREADS"]))
    texts = Path(path).read_text(encoding="utf-8").splitlines()
    encoder = SentenceTransformer(model, device="cpu")
    encoder.encode(texts, batch_size=32)
    begin = time.perf_counter()
    encoder.encode(texts, batch_size=32)
    print(json.dumps({"texts": len(texts), "seconds": [time.perf_counter() - begin]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items")
    parser.add_argument("--column", default="title")
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default=str(ROOT / "models" / "all-minilm-l6-v2"))
    parser.add_argument("--python", help="an environment with sentence-transformers")
    arguments = parser.parse_args()
    python = arguments.python or environment("peers-text", "requirements-text.txt")
    opened = gzip.open if arguments.items.endswith(".gz") else open
    with opened(arguments.items, "rt", encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [row[arguments.column].strip() for row in rows]
    texts = [text for text in texts if text][: arguments.texts]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(texts))
        file.flush()
        ours = [bench("embeddings"), "--times", arguments.model, file.name, "1"]
        sides = {
            "tastemaker f32": [*ours, "f32"],
            "tastemaker bf16": [*ours, "bf16"],
            "sentence-transformers": [python, __file__, "--theirs", arguments.model, file.name],
        }
        threads = str(arguments.threads)
        variables = {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        rates = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, command in sides.items():
                answer = run(command, variables)
                rates[side].append(answer["texts"] / answer["seconds"][0])
    medians = {side: statistics.median(all) for side, all in rates.items()}
    print(f"{len(texts)} texts, a mean of {statistics.mean(map(len, texts)):.0f} characters\n")
    print("| side | texts a second | least to most | ratio |\n|---|---|---|---|")
    for side, all in rates.items():
        ratio = medians[side] / medians["sentence-transformers"]
        print(f"| {side} | {medians[side]:.0f} | {min(all):.0f} to {max(all):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--theirs"]:
        theirs(*sys.argv[2:])
    else:
        main()
