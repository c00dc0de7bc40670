"""Makes generation.json and stems.json: texts and words, and what others say of them.

    python -m venv env
    env/bin/pip install sacrebleu==2.6.0 rouge-score==0.1.2 nltk==3.10.4 torchmetrics==1.9.0 torch
    env/bin/python make_generation.py

sacrebleu: BLEU, chrF. rouge-score: ROUGE. nltk: METEOR, with a WordNet in which no word has a synonym, of
the words that sacrebleu sees; stems. torchmetrics: perplexity. Features are counted here, text by text, by
their definitions in PETER (Li, Zhang and Chen 2021), and bits per byte by theirs. Words for the stems are
those of the help of Python 3.11.
"""

import itertools
import json
import math
import pathlib
import random
import re

import torch
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score
from pydoc_data.topics import topics
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from torchmetrics.text import Perplexity

PAIRS = [
    ("The card arrived on time and was a great gift.", "The gift card arrived on time, a great gift!"),
    ("great card", "It's a great gift card for 1,234.50 dollars."),
    ("", "nothing was written"),
    ("I love it. I love it. I love it.", "I love it."),
    ("prix: 3,5 € — très bien (naïve)", "Prix : 3,5 €, très bien (naïf)"),
    ("A 5-star product &amp; fast shipping", "a 5 -star product & fast shipping..."),
    ("completely different words here", "none of them is the same"),
]
STEMMED = [
    ("She enjoys running, and loved the gifts", "she enjoyed the runs and loves gifted cards"),
    ("i see as a fly", "is us flies seeing"),
]
VOCABULARY = "card cards gift gifts gifted love loved loving lovely a as is i great greatly relate relational".split()
rng = random.Random(20261126)
words = lambda: " ".join(rng.choices(VOCABULARY, k=rng.randint(1, 14)))
DRAWN = [(words(), words()) for _ in range(40)]
SETS = [PAIRS, PAIRS[:2], PAIRS[6:], [("a b", "a b"), ("c", "c")], STEMMED, DRAWN]
rouge = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)


class NoSynonyms:
    def synsets(self, _):
        return []


def meteor(text, reference):
    tokens = lambda text: Tokenizer13a()(text.lower()).split()
    return single_meteor_score(tokens(reference), tokens(text), wordnet=NoSynonyms())


def of_features(texts):
    known = sorted({word for text in texts for word in text.split()})
    features = sorted({*rng.sample(known, len(known) // 2), "unspoken"})
    wanted = [rng.choice(features) for _ in texts]
    spoken = [{feature for feature in features if feature in text.split()} for text in texts]
    pairs = list(itertools.combinations(spoken, 2))
    return {
        "known": features, "wanted": wanted,
        "coverage": sum(any(f in own for own in spoken) for f in features) / len(features),
        "matching": sum(f in own for f, own in zip(wanted, spoken)) / len(texts),
        "diversity": sum(len(a & b) for a, b in pairs) / len(pairs) if pairs else 0.0,
    }


def of(pairs):
    texts, right = [text for text, _ in pairs], [right for _, right in pairs]
    scores = [rouge.score(reference, text) for text, reference in pairs]
    mean = lambda name: sum(score[name].fmeasure for score in scores) / len(scores)
    bleu = BLEU()
    return {
        "pairs": pairs, "bleu": bleu.corpus_score(texts, [right]).score,
        "chrf": CHRF().corpus_score(texts, [right]).score,
        "rouge-1": mean("rouge1"), "rouge-2": mean("rouge2"), "rouge-l": mean("rougeL"),
        "meteor": sum(meteor(*pair) for pair in pairs) / len(pairs), "features": of_features(texts),
    }


def likelihood():
    torch.manual_seed(20261126)
    logits, tokens = torch.randn(1, 50, 20, dtype=torch.float64) * 2, torch.randint(20, (1, 50))
    losses = -logits.log_softmax(-1).gather(-1, tokens[..., None]).flatten()
    return {
        "losses": losses.tolist(), "perplexity": float(Perplexity()(logits, tokens)), "bytes": 170,
        "bits-per-byte": sum(loss / math.log(2) for loss in losses.tolist()) / 170,
    }


def stems():
    """Words that people wrote, and made ones, so that every rule has its turn."""
    written = sorted({word for text in topics.values() for word in re.findall("[a-z]+", text.lower())})
    roots = "relat hop hopp trac condit sens form care enjo fl tr radic vil apolog bowdler fall fizz y".split()
    endings = (
        "ed ing ied ies ying y eed s sses ss e er ate ation ational ize izer ization al alli ally bli bly "
        "fulli fulness ness ousli iveness iviti aliti biliti ical icate iciti ative ement ment ent ion sion "
        "tion ance ence able ible ism iti ou ous ive logi logy ll lle enci anci eli entli alism ator"
    ).split()
    made = [root + ending for root in roots for ending in endings]
    irregular = "sky skies dying lying tying news innings inning outings outing cannings canning howe proceed"
    own = f"{irregular} exceed succeed a as is us by yyyy syzygy toy été naïves 1990s ties died lied".split()
    stemmer = PorterStemmer()
    words = sorted({*rng.sample(written, 600), *rng.sample(made, 600), *own})
    return [(word, stemmer.stem(word)) for word in words]


def write(name, what):
    out = pathlib.Path(__file__).with_name(name)
    out.write_text(json.dumps(what, ensure_ascii=False) + "\n", encoding="utf-8")


write("generation.json", {"sets": [of(pairs) for pairs in SETS], "likelihood": likelihood()})
write("stems.json", stems())
