"""Metrics of many users' lists: tastemaker, ranx and RecBole in turn, one table a size.

    python3 bench/peers/evaluating.py [--users 1000000,100000] [--rounds 3]

Makes up lists of 100 of 20,000 items for so many users, and 1 to 10 items that are relevant for each
(seeded, kept in --scratch), and takes metrics with --threads (2) threads, one side after the other
--rounds (3) times, so that a slow minute of the machine meets all. For each side two times:

* from files to numbers, of the process by itself: the command line's for us; `from_parquet` and
  `evaluate` for ranx, without its compilation, which a few users go through before. RecBole reads no
  lists;
* the metrics alone, from memory: `Evaluator::evaluate_lists` for us, from the columns that were read,
  which still looks up what is relevant and puts lists in order; `evaluate` for ranx, from its own
  arrays of numbers (`to_typed_list`), which are in order; the `Evaluator` for RecBole, from matrices
  that already say which of the items are relevant, as its collector leaves them.

Ours takes 15 metrics; ranx the 12 of single lists among them, since it has no others; RecBole all it
has of ours, at both cut-offs: 18. Metrics that are defined alike are compared, and must agree.

ranx keeps ids as texts in dictionaries and needs more memory than lists of a million users leave: it is
run with up to --most-ranx (100,000) users. Prints medians, their ratio to ours and the peak memory.
Environments: target/peers-evaluating, from requirements-evaluating.txt, or --python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import HERE, ROOT, bench, environment, run

N_ITEMS, LENGTH = 20_000, 100
OURS = [
    "hr@10", "recall@10", "precision@10", "ndcg@10", "mrr@10", "map@10", "hr@100", "recall@100",
    "precision@100", "ndcg@100", "map@100", "r-precision", "coverage@10", "gini@10", "entropy@10",
]
RANX = ["hit_rate@10", "recall@10", "precision@10", "ndcg@10", "mrr@10", "map@10", "hit_rate@100"]
RANX += ["recall@100", "precision@100", "ndcg@100", "map@100", "r-precision"]
RECBOLE = ["Hit", "Recall", "Precision", "NDCG", "MRR", "MAP", "ItemCoverage", "GiniIndex"]
RECBOLE += ["ShannonEntropy"]


def make(folder, n_users):
    """Writes lists and what is relevant as Parquet, CSV and matrices, in blocks of users."""
    import numpy
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    numbers = numpy.random.default_rng(1)
    names = pyarrow.array([f"i{i}" for i in range(N_ITEMS)])
    sinks = {}

    def write(name, columns):
        table = pyarrow.table(columns)
        if name not in sinks:
            parquet = pyarrow.parquet.ParquetWriter(folder / f"{name}.parquet", table.schema)
            csv = pyarrow.csv.CSVWriter(folder / f"{name}.csv", table.schema)
            sinks[name] = parquet, csv
        for sink in sinks[name]:
            sink.write_table(table)

    def of_users(first, counts):
        users = [f"u{first + i}" for i in range(len(counts))]
        return pyarrow.array(users).take(numpy.repeat(numpy.arange(len(counts)), counts))

    items = numpy.lib.format.open_memmap(
        folder / "items.npy", mode="w+", dtype=numpy.int32, shape=(n_users, LENGTH)
    )
    targets = numpy.lib.format.open_memmap(
        folder / "targets.npy", mode="w+", dtype=numpy.int32, shape=(n_users, 10)
    )
    for first in range(0, n_users, 20_000):
        n = min(20_000, n_users - first)
        # Some items are recommended more than others.
        drawn = numpy.sort((numbers.random((n, 160)) ** 2 * N_ITEMS).astype(numpy.int32), axis=1)
        keys = numbers.random(drawn.shape)
        keys[:, 1:][drawn[:, 1:] == drawn[:, :-1]] = 2
        places = numpy.argsort(keys, axis=1)[:, :LENGTH]
        block = numpy.take_along_axis(drawn, places, axis=1)
        assert numpy.take_along_axis(keys, places, axis=1).max() < 2
        items[first : first + n] = block
        scores = numpy.sort(numbers.random(block.shape), axis=1)[:, ::-1]
        # About half of what is relevant stands in the list, more often above than below.
        hits = (numbers.random((n, 10)) ** 2 * LENGTH).astype(int)
        own = numpy.take_along_axis(block, hits, axis=1)
        other = numbers.integers(0, N_ITEMS, own.shape)
        chosen = numpy.sort(numpy.where(numbers.random(own.shape) < 0.5, own, other), axis=1)
        chosen[:, 1:][chosen[:, 1:] == chosen[:, :-1]] = -1
        chosen[numpy.arange(10) >= numbers.integers(1, 11, (n, 1))] = -1
        targets[first : first + n] = chosen
        there = chosen >= 0
        write("lists", {
            "user": of_users(first, numpy.full(n, LENGTH)),
            "item": names.take(block.ravel()),
            "score": scores.ravel(),
        })
        write("qrels", {
            "user": of_users(first, there.sum(axis=1)),
            "item": names.take(chosen[there]),
            "relevance": numpy.ones(there.sum(), dtype=numpy.int64),
        })
    for name in sinks:
        for sink in sinks[name]:
            sink.close()
    (folder / "whole").touch()


def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


def ranx(folder, few):
    """What ranx's own process does; `few` is a folder of few users for the compilation."""
    from ranx import Qrels, Run, evaluate

    def read(folder):
        columns = {"q_id_col": "user", "doc_id_col": "item"}
        qrels = Qrels.from_parquet(f"{folder}/qrels.parquet", **columns, score_col="relevance")
        return qrels, Run.from_parquet(f"{folder}/lists.parquet", **columns, score_col="score")

    def measure(qrels, run):
        return evaluate(qrels, run, RANX, threads=int(os.environ["NUMBA_NUM_THREADS"]))

    measure(*read(few))
    qrels, run = read(few)
    measure(qrels.to_typed_list(), run.to_typed_list())
    begin = time.perf_counter()
    qrels, run = read(folder)
    means = measure(qrels, run)
    whole = time.perf_counter() - begin
    qrels, run = qrels.to_typed_list(), run.to_typed_list()
    begin = time.perf_counter()
    measure(qrels, run)
    alone = time.perf_counter() - begin
    means = [float(means[metric]) for metric in RANX]
    print(json.dumps({"whole": whole, "alone": alone, "means": means, "peak-memory": peak()}))


def recbole(folder):
    """What RecBole's own process does."""
    import numpy

    numpy.float = float  # RecBole's MRR and MAP still call it so.
    import torch
    from recbole.evaluator import Evaluator
    from recbole.evaluator.collector import DataStruct

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    items = numpy.load(f"{folder}/items.npy", mmap_mode="r")
    targets = numpy.load(f"{folder}/targets.npy")
    data = DataStruct()
    relevant = torch.zeros((len(items), LENGTH + 1), dtype=torch.int32)
    for target in targets.T:
        relevant[:, :LENGTH] |= torch.from_numpy(items == target[:, None])
    relevant[:, LENGTH] = torch.from_numpy((targets >= 0).sum(axis=1))
    data.set("rec.topk", relevant)
    data.set("rec.items", torch.from_numpy(items.astype(numpy.int64)))
    data.set("data.num_items", N_ITEMS)
    settings = {"metrics": RECBOLE, "topk": [10, 100], "metric_decimal_place": 12}
    evaluator = Evaluator(settings)
    begin = time.perf_counter()
    found = evaluator.evaluate(data)
    alone = time.perf_counter() - begin
    alike = [f"{metric}@{k}" for k in (10, 100) for metric in ("hit", "recall", "precision", "ndcg")]
    means = {metric: float(found[metric]) for metric in [*alike, "mrr@10", "itemcoverage@10"]}
    print(json.dumps({"alone": alone, "means": means, "peak-memory": peak()}))


def command_line(program, folder, kind, threads):
    """Seconds, means and peak memory of our command line."""
    command = [program, "evaluate", "--runs", folder / f"lists.{kind}", "--threads", str(threads)]
    command += ["--qrels", folder / f"qrels.{kind}", "--items", str(N_ITEMS), "--format", "json"]
    command += [word for metric in OURS for word in ("--metric", metric)]
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        whole = time.perf_counter() - begin
        assert status == 0, command
        out.seek(0)
        means = [value["mean"] for value in json.load(out)["metrics"]]
    return {"whole": whole, "means": means, "peak-memory": 1024 * usage.ru_maxrss}


def check(ours, theirs):
    """Stops where metrics that are defined alike differ."""
    ours = dict(zip(OURS, ours))
    if isinstance(theirs, list):
        theirs = dict(zip(RANX, theirs))
    names = {"hit_rate": "hr", "hit": "hr", "itemcoverage": "coverage"}
    for name, value in theirs.items():
        metric, *k = name.split("@")
        own = ours["@".join([names.get(metric, metric), *k])]
        assert abs(own - value) < 1e-6, f"{name} is {value}, ours {own}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", default="1000000,100000")
    parser.add_argument("--most-ranx", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "evaluating")
    parser.add_argument("--python", help="an environment with ranx and RecBole")
    arguments = parser.parse_args()
    python = arguments.python or environment("peers-evaluating", "requirements-evaluating.txt")
    subprocess.run(["cargo", "build", "--release", "-p", "tastemaker-cli"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program, lists = target / "release" / "tastemaker", bench("lists", "tastemaker-eval")
    threads = str(arguments.threads)
    names = ["RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"]
    variables = dict.fromkeys(names, threads)

    def folder(n_users):
        folder = arguments.scratch / str(n_users)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "whole").exists():
            subprocess.run([python, __file__, "--make", folder, str(n_users)], check=True)
        return folder

    print("| users | side | files to numbers s | over ours | metrics alone s | over ours | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for n_users in map(int, arguments.users.split(",")):
        own = folder(n_users)
        measured = [own / "lists.parquet", own / "qrels.parquet", str(N_ITEMS), "1", *OURS]
        sides = {
            "tastemaker, Parquet": lambda: command_line(program, own, "parquet", threads),
            "tastemaker, CSV": lambda: command_line(program, own, "csv", threads),
            "tastemaker, in memory": lambda: run([lists, "--times", *measured], variables),
            "RecBole": lambda: run([python, __file__, "--recbole", own], variables),
        }
        if n_users <= arguments.most_ranx:
            few = folder(1000)
            sides["ranx"] = lambda: run([python, __file__, "--ranx", own, few], variables)
        answers = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, measure in sides.items():
                answers[side].append(measure())
        for side in ["RecBole", "ranx"]:
            for answer in answers.get(side, []):
                check(answers["tastemaker, Parquet"][0]["means"], answer["means"])
        for answer in answers["tastemaker, in memory"]:
            answer["alone"] = answer["evaluate"][0]

        def median(side, what):
            times = [answer[what] for answer in answers[side] if what in answer]
            return statistics.median(times) if times else None

        bases = {
            "whole": median("tastemaker, Parquet", "whole"),
            "alone": median("tastemaker, in memory", "alone"),
        }
        for side, all in answers.items():
            cells = []
            for what, base in bases.items():
                seconds = median(side, what)
                told = ("–", "–") if seconds is None else (f"{seconds:.2f}", f"{seconds / base:.2f}")
                cells += told
            memory = max(answer["peak-memory"] for answer in all) / 1e6
            print(f"| {n_users:,} | {side} | {' | '.join(cells)} | {memory:.0f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    own = {"--make": lambda folder, n: make(Path(folder), int(n)), "--ranx": ranx, "--recbole": recbole}
    if sys.argv[1:2] and sys.argv[1] in own:
        own[sys.argv[1]](*sys.argv[2:])
    else:
        main()
