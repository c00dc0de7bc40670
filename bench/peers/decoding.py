"""A language model goes on with texts: tastemaker and llama.cpp in turn, one table.

    scripts/fetch-models.sh
    python3 bench/peers/decoding.py

Both sides read the prompts below and write --tokens (128) tokens after each, the most likely one
each time, from the same GGUF file with --threads (2) threads, one after the other --rounds (3)
times, so that a slow minute of the machine meets both. Prints a Markdown table (milliseconds a
token written, tokens a second read from prompts), where the texts part, and by how much each side's
best token is ahead there. llama.cpp rounds states to 8 bits and keys and values to 16, so that near
ties may fall the other way: how far its logits are from ours after each prompt is printed as well.

llama.cpp comes as llama-cpp-python, built from requirements-llama.txt into target/peers-llama, for
AVX-512 with VNNI or, without it, AVX2 (its AMX path, which -march=native takes, ended in a
segmentation fault on our machine); --python names an environment that is there.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from peers import ROOT, bench, environment, run

PROMPTS = [
    "A person has played The Legend of Zelda, Super Mario Galaxy and Metroid Prime. A game that "
    "this person will like next is",
    "The capital of France is",
    "Here is a list of ten films that were directed by Alfred Hitchcock: 1. Psycho, 2.",
    "Question: Why do people who buy a tent often buy a sleeping bag as well?\\nAnswer:",
]


def theirs(model, path, n):
    """What the peer's own process does."""
    import llama_cpp
    import numpy

    llama = llama_cpp.Llama(
        model, n_ctx=1024, n_threads=int(os.environ["RAYON_NUM_THREADS"]),
        n_threads_batch=int(os.environ["RAYON_NUM_THREADS"]), verbose=False,
    )
    context = llama.ctx
    answer = {"read": [], "written": [], "tokens": [], "margins": [], "logits": []}
    for prompt in Path(path).read_text(encoding="utf-8").splitlines():
        tokens = llama.tokenize(prompt.encode(), add_bos=False, special=False)
        llama.reset()
        begin = time.perf_counter()
        llama.eval(tokens)
        written, margins = [], []
        for i in range(int(n) + 1):
            logits = llama_cpp.llama_get_logits_ith(context, -1)
            logits = numpy.ctypeslib.as_array(logits, shape=(llama.n_vocab(),))
            next = int(logits.argmax())
            now = time.perf_counter()
            answer["written" if i else "read"].append(now - begin)
            begin = now
            if i == 0:
                answer["logits"].append(logits[:1000].tolist())
            if i == int(n):
                break
            two = numpy.partition(logits, -2)[-2:]
            written.append(next)
            margins.append(float(two[1] - two[0]))
            begin = time.perf_counter()
            llama.eval([next])
        answer["tokens"].append(written)
        answer["margins"].append(margins)
    answer["prompts"] = [len(llama.tokenize(p.encode(), add_bos=False)) for p in PROMPTS]
    print(json.dumps(answer))


def llama_environment():
    flags = Path("/proc/cpuinfo").read_text()
    wanted = {"AVX": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "BMI2": "bmi2"}
    wanted |= {"AVX512": "avx512f", "AVX512_VNNI": "avx512_vnni"}
    has = [f"-DGGML_{name}={'ON' if f' {flag} ' in flags else 'OFF'}" for name, flag in wanted.items()]
    os.environ["CMAKE_ARGS"] = " ".join(["-DGGML_NATIVE=OFF", *has])
    return environment("peers-llama", "requirements-llama.txt")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    folder = ROOT / "models" / "smollm2-135m-instruct"
    parser.add_argument("--model", default=str(folder / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--python", help="an environment with llama-cpp-python")
    arguments = parser.parse_args()
    python = arguments.python or llama_environment()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(PROMPTS))
        file.flush()
        what = [arguments.model, file.name, str(arguments.tokens)]
        sides = {
            "tastemaker": [bench("decoding"), "--times", *what],
            "llama.cpp": [python, __file__, "--theirs", *what],
        }
        threads = str(arguments.threads)
        answers = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, command in sides.items():
                answers[side].append(run(command, {"RAYON_NUM_THREADS": threads}))
    prompts = sum(answers["llama.cpp"][0]["prompts"])
    print("| side | ms a token written | 10 to 90 % | speed | tokens of prompts a second |")
    print("|---|---|---|---|---|")
    medians = {}
    for side, all in answers.items():
        times = [1e3 * t for answer in all for t in answer["written"]]
        medians[side] = statistics.median(times)
        tenths = statistics.quantiles(times, n=10)
        read = prompts / statistics.median(sum(answer["read"]) for answer in all)
        print(f"| {side} | {medians[side]:.2f} | {tenths[0]:.2f} to {tenths[-1]:.2f} | ", end="")
        print(f"{medians[side] and 1e3 / medians[side]:.0f} tokens a second | {read:.0f} |")
    print(f"\nours over theirs: {medians['llama.cpp'] / medians['tastemaker']:.2f}\n")
    ours, theirs_ = answers["tastemaker"][0], answers["llama.cpp"][0]
    for i, (a, b) in enumerate(zip(ours["tokens"], theirs_["tokens"])):
        same = next((j for j, (x, y) in enumerate(zip(a, b)) if x != y), len(a))
        print(f"prompt {i + 1}: {same} of {len(a)} tokens equal", end="")
        if same < len(a):
            ahead = [side["margins"][i][same] for side in (ours, theirs_)]
            print(f"; there our best is ahead by {ahead[0]:.3f}, llama.cpp's by {ahead[1]:.3f}", end="")
        apart = [x - y for x, y in zip(ours["logits"][i], theirs_["logits"][i])]
        print(f"; logits after the prompt differ by {statistics.pstdev(apart):.3f} (deviation)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--theirs"]:
        theirs(*sys.argv[2:])
    else:
        main()
