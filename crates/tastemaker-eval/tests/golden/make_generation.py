"""Makes generation.json: texts, and what sacrebleu and rouge-score say of them.

    python -m venv env && env/bin/pip install sacrebleu==2.6.0 rouge-score==0.1.2
    env/bin/python make_generation.py
"""

import json
import pathlib

from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

PAIRS = [
    ("The card arrived on time and was a great gift.", "The gift card arrived on time, a great gift!"),
    ("great card", "It's a great gift card for 1,234.50 dollars."),
    ("", "nothing was written"),
    ("I love it. I love it. I love it.", "I love it."),
    ("prix: 3,5 € — très bien (naïve)", "Prix : 3,5 €, très bien (naïf)"),
    ("A 5-star product &amp; fast shipping", "a 5 -star product & fast shipping..."),
    ("completely different words here", "none of them is the same"),
]
SETS = [PAIRS, PAIRS[:2], PAIRS[6:], [("a b", "a b"), ("c", "c")]]
rouge = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)


def of(pairs):
    texts, right = [text for text, _ in pairs], [right for _, right in pairs]
    scores = [rouge.score(reference, text) for text, reference in pairs]
    mean = lambda name: sum(score[name].fmeasure for score in scores) / len(scores)
    bleu = BLEU()
    return {
        "pairs": pairs, "bleu": bleu.corpus_score(texts, [right]).score,
        "chrf": CHRF().corpus_score(texts, [right]).score,
        "rouge-1": mean("rouge1"), "rouge-2": mean("rouge2"), "rouge-l": mean("rougeL"),
    }


out = pathlib.Path(__file__).with_name("generation.json")
out.write_text(json.dumps([of(pairs) for pairs in SETS], ensure_ascii=False) + "\n", encoding="utf-8")
