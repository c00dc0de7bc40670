"""What the scripts that run both sides in turn have in common."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def environment(name, requirements):
    """The Python of an environment of its own in target/NAME, with what the file REQUIREMENTS says."""
    home = ROOT / "target" / name
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        install = [python, "-m", "pip", "install", "-q", "-r", HERE / requirements]
        subprocess.run(install, check=True)
    return python


def bench(name, package="tastemaker-nn"):
    """The executable of a bench, built."""
    command = ["cargo", "bench", "-p", package, "--bench", name, "--no-run"]
    command += ["--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in lines.stdout.splitlines()]
    return next(message["executable"] for message in messages if message.get("executable"))


def run(command, variables):
    """What a side's last line says."""
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    return json.loads(answer.stdout.splitlines()[-1])
