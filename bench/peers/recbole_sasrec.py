"""RecBole's SASRec, from the raw file to its best validation, as its own settings have it.

The settings are those that ship with RecBole 1.2.1 (properties/overall.yaml,
properties/model/SASRec.yaml, quick_start_config/sequential.yaml) but for three: negative samples
are off, as its cross-entropy loss demands, the validation metric is NDCG@10, and progress bars are
off. It ranks the whole catalogue and does not leave out items that the user has seen.

Writes one JSON object: seconds from the start of this program, every epoch's validation, the time
of one full-ranking evaluation, and the peak memory.
"""

import argparse
import json
import os
import resource
import sys
import time

START = time.perf_counter()
# RecBole reads its own checkpoints with torch.load, whose default has changed since.
os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")


def settings(arguments):
    core = {"user_inter_num_interval": "[5,inf)", "item_inter_num_interval": "[5,inf)"}
    return {
        "data_path": arguments.data,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        "repeatable": True,
        "train_neg_sample_args": None,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "metrics": ["NDCG", "Hit"],
        "valid_metric": "NDCG@10",
        "metric_decimal_place": 6,
        "show_progress": False,
        "use_gpu": False,
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "checkpoint_dir": arguments.scratch,
        **(core if arguments.five_core else {}),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="the folder above the data set's own")
    parser.add_argument("dataset", help="NAME of NAME/NAME.inter")
    parser.add_argument("--five-core", action="store_true")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scratch", required=True, help="where RecBole puts its checkpoints")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads the command line, too

    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    torch.set_num_threads(arguments.threads)
    config = Config(model="SASRec", dataset=arguments.dataset, config_dict=settings(arguments))
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, valid, _test = data_preparation(config, dataset)
    model = SASRec(config, train.dataset).to(config["device"])
    result = {
        "users": dataset.user_num - 1,
        "items": dataset.item_num - 1,
        "interactions": dataset.inter_num,
        "prepared": time.perf_counter() - START,
        "epochs": [],
    }

    def after_epoch(epoch, value):
        seconds = time.perf_counter() - START
        result["epochs"].append({"epoch": epoch, "seconds": seconds, "ndcg@10": float(value)})
        result["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with open(arguments.out + ".part", "w") as file:
            json.dump(result, file, indent=1)
        os.replace(arguments.out + ".part", arguments.out)

    trainer = Trainer(config, model)
    trainer.fit(train, valid, verbose=False, saved=True, callback_fn=after_epoch)
    result["trained"] = time.perf_counter() - START
    begin = time.perf_counter()
    trainer.evaluate(valid, load_best_model=False)
    result["evaluation"] = time.perf_counter() - begin
    result["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with open(arguments.out, "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
