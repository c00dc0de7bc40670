"""Writes events.tfevents, the events of a test as TensorBoard's own classes write them.

    pip install tensorboard==2.21.0
    python crates/tastemaker/tests/golden/make_events.py

With a folder as argument, says instead what TensorBoard finds in it: tags, steps and values.
"""

import sys
from pathlib import Path

SCALARS = [
    ("train/epoch/loss", 0, 2.193211078643799),
    ("train/epoch/loss", 1, -0.0),
    ("test/NDCG@10", 0, 0.0615),
    ("é" * 100, 70_000, float("nan")),
]


def make(path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    time = 1_700_000_000.25
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString())
        for tag, step, value in SCALARS:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            event = Event(wall_time=time, step=step, summary=summary)
            writer.write(event.SerializeToString())
        writer.flush()


def show(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0}).Reload()
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            print(tag, event.step, event.wall_time, event.value)


if __name__ == "__main__":
    if sys.argv[1:]:
        show(sys.argv[1])
    else:
        make(Path(__file__).parent / "events.tfevents")
