"""Training steps and forward passes: tastemaker and torch in turn, one table.

    python3 bench/peers/steps.py

Makes an environment of its own from requirements.txt (in target/peers), builds the benches, and
runs each side for a few steps at a time, one after the other, so that a slow minute of the machine
meets both. Prints a Markdown table: medians, their ratios, the 10th and 90th percentile, and the
peak memory of the process.
"""

import argparse
import glob
import statistics
import sys
from pathlib import Path

from peers import HERE, bench, environment, run


def machine():
    cpu = Path("/proc/cpuinfo").read_text()
    name = next(line.split(":")[1].strip() for line in cpu.splitlines() if "model name" in line)
    return name, "avx512_bf16" in cpu


def sides(python, arguments, has_bf16):
    """The name, command and variables of each side."""
    torch = [python, HERE / "torch_steps.py"]
    threads = ["--threads", str(arguments.threads)]
    libraries = glob.glob("/usr/lib/*/libtcmalloc_minimal.so.4")
    tcmalloc = {"LD_PRELOAD": libraries[0]} if libraries else None
    variables = {"RAYON_NUM_THREADS": str(arguments.threads)}
    yield "tastemaker f32", [bench("steps"), "f32"], variables
    if has_bf16:
        yield "tastemaker bf16", [bench("steps"), "bf16"], variables
    yield "torch eager", torch + threads, {}
    if tcmalloc is None:
        print("tcmalloc is not installed (Debian: libtcmalloc-minimal4); left out", file=sys.stderr)
    else:
        yield "torch eager, tcmalloc", torch + threads, tcmalloc
        yield "torch.compile, tcmalloc", torch + threads + ["--compile"], tcmalloc
    if has_bf16:
        yield "torch eager bf16", torch + threads + ["--bf16"], tcmalloc or {}
        yield "torch.compile bf16", torch + threads + ["--bf16", "--compile"], tcmalloc or {}
    else:
        print("no bf16 instructions here: bf16 is emulated on both sides, left out", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default="A1,A2,B,C32,C128")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    name, has_bf16 = machine()
    all_sides = list(sides(environment("peers", "requirements.txt"), arguments, has_bf16))
    print(f"{name}, {arguments.threads} threads; {arguments.rounds} × {arguments.steps} steps\n")
    print("| shape | side | median ms | 10 to 90 % | ratio to ours | peak memory MB |")
    print("|---|---|---|---|---|---|")
    for shape in arguments.shapes.split(","):
        times = {side: [] for side, _, _ in all_sides}
        memory = {}
        for _ in range(arguments.rounds):
            for side, command, variables in all_sides:
                what = [shape, str(arguments.steps)]
                if side.startswith("tastemaker"):
                    command = [command[0], "--times", *what, command[1]]
                else:
                    command = [*command, *what]
                answer = run([*map(str, command)], variables)
                times[side] += answer["milliseconds"]
                memory[side] = max(memory.get(side, 0), answer["peak-memory"])
        base = statistics.median(times["tastemaker f32"])
        for side, values in times.items():
            median, tenths = statistics.median(values), statistics.quantiles(values, n=10)
            spread = f"{tenths[0]:.0f} to {tenths[-1]:.0f}"
            megabytes = memory[side] / 1e6
            print(f"| {shape} | {side} | {median:.1f} | {spread} | {median / base:.2f} | {megabytes:.0f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
