"""Makes audit.json: random lists over a small catalog, and what others say of them.

    python -m venv env
    env/bin/pip install rbo==0.1.3 scikit-learn==1.9.1 scipy==1.17.1 numpy
    env/bin/python make_audit.py

rbo: rank-biased overlap. scipy: Kendall's tau, entropy. scikit-learn: AUC, ROC. From the formulas, written
anew: Elliot's ARP, APLT, ACLT, PopRSP, PopREO and UserMADranking; FaiRLLM's likenesses (both scales of
SERP*), SNSR and SNSV; the Gini of RecBole's sense; ECE; MMR and calibrated re-ranking.
"""

import json
import math
import pathlib
import random

import numpy as np
from rbo import RankingSimilarity
from scipy.stats import entropy, kendalltau, t
from sklearn.metrics import roc_auc_score, roc_curve

K, USERS, ITEMS, CATEGORIES, HEAD = 5, 40, 30, 6, 0.8
rng = random.Random(20261127)


def jaccard(x, y):
    return len(set(x) & set(y)) / len(set(x) | set(y))


def serp_paper(x, y):
    k = len(x)
    return sum(k - r + 1 for r, v in enumerate(x, 1) if v in y) / (k * (k + 1) / 2)


def serp_code(x, y):
    total = sum(len(x) - i + 1 for i, v in enumerate(x) if v in y)
    return total * 0.5 / ((len(y) + 1) * len(y))


def prag(x, y):
    place = {v: i for i, v in enumerate(y)}
    pairs = [(x[i], x[j]) for i in range(len(x)) for j in range(i + 1, len(x))]
    kept = [v in place and (w not in place or place[v] < place[w]) for v, w in pairs]
    return sum(kept) / len(pairs)


likenesses = {"jaccard": jaccard, "serp": serp_paper, "serp-code": serp_code, "prag": prag}
pairs = []
for _ in range(60):
    n, m = rng.choice([(5, 5), (10, 10), (20, 20), (10, 7)])
    pool = list(range(rng.choice([n, n + 5, 40])))
    x, y = rng.sample(pool, n), rng.sample(pool, min(m, len(pool)))
    common = [v for v in x if v in y]
    tau = None
    if len(common) > 1:
        tau = float(kendalltau([x.index(v) for v in common], [y.index(v) for v in common]).statistic)
    pairs.append({
        "a": x, "b": y, "tau": tau,
        "overlap": float(RankingSimilarity(x, y).rbo(p=0.9, ext=True)),
        **{name: of(x, y) for name, of in likenesses.items()},
    })

scores = []
for n, m, shift in [(50, 60, 0.0), (200, 300, 0.8), (120, 1000, 2.0), (5, 5, 1.0)]:
    own = [round(rng.gauss(shift, 1.0), 1) for _ in range(n)]
    others = [round(rng.gauss(0.0, 1.0), 1) for _ in range(m)]
    truth = [1] * n + [0] * m
    fpr, tpr, _ = roc_curve(truth, own + others, drop_intermediate=False)
    scores.append({
        "members": own, "non-members": others, "auc": float(roc_auc_score(truth, own + others)),
        "found": [float(tpr[fpr <= most].max()) for most in (0.01, 0.001, 0.1)],
    })

claims = [[rng.random(), rng.random() < 0.4] for _ in range(300)] + [[1.0, True], [0.2, False]]
sure, right = np.array([c[0] for c in claims]), np.array([c[1] for c in claims], dtype=float)
edges = np.linspace(0, 1, 16)
ece = 0.0
for low, high in zip(edges[:-1], edges[1:]):
    inside = (sure > low) & (sure <= high)
    if inside.any():
        ece += inside.mean() * abs(right[inside].mean() - sure[inside].mean())

# A world: what each user met in training, its targets, its list.
weight = [1 / (1 + item) for item in range(ITEMS)]
order = list(range(ITEMS))
rng.shuffle(order)


def drawn(n, without):
    found = []
    while len(found) < n:
        item = order[rng.choices(range(ITEMS), weight)[0]]
        if item not in found and item not in without:
            found.append(item)
    return found


users = []
for user in range(USERS):
    history = drawn(rng.choice([3, 4, 5, 8]), [])
    targets = drawn(rng.choice([1, 2, 3]), history)
    # Lists are better for some than for others.
    items = drawn(K, history)
    if user % 3 == 0 and targets[0] not in items:
        items[rng.randrange(K)] = targets[0]
    users.append({"history": history, "targets": targets, "items": items, "group": "abc"[user % 3]})
categories = [sorted(rng.sample(range(CATEGORIES), rng.choice([1, 1, 2, 3]))) for _ in range(ITEMS)]
popularity = [sum(item in user["history"] for user in users) for item in range(ITEMS)]
total = sum(popularity)
before = [sum(p for p in popularity if p > own) / total for own in popularity]
tail = [share >= HEAD for share in before]
assert 0 < sum(tail) < ITEMS
shown = [sum(item in user["items"] for user in users) for item in range(ITEMS)]


def chances(could, had):
    shares = []
    for g in (False, True):
        num = sum(sum(tail[i] == g for i in had(user)) for user in users)
        den = sum(sum(tail[i] == g for i in could(user)) for user in users)
        shares.append(num / den)
    return float(np.std(shares) / np.mean(shares))


def ndcg(user):
    gain = sum(1 / math.log2(r + 1) for r, i in enumerate(user["items"], 1) if i in user["targets"])
    return gain / sum(1 / math.log2(r + 1) for r in range(1, min(len(user["targets"]), K) + 1))


def recall(user):
    return len(set(user["items"]) & set(user["targets"])) / len(user["targets"])


def by_group(of):
    return {g: float(np.mean([of(u) for u in users if u["group"] == g])) for g in "abc"}


def gini(counts):
    n, ordered = len(counts), sorted(counts)
    return sum((2 * i - n - 1) * x for i, x in enumerate(ordered, 1)) / (n * sum(counts))


def mean(of):
    return float(np.mean([of(user) for user in users]))


def mix(items):
    shares = np.zeros(CATEGORIES)
    for item in items:
        for c in categories[item]:
            shares[c] += 1 / len(categories[item])
    return shares / shares.sum()


g_ndcg, g_recall = by_group(ndcg), by_group(recall)
names = sorted(g_ndcg)
world = {
    "ndcg-gap": max(g_ndcg.values()) - min(g_ndcg.values()),
    "ndcg-shortfall": 1 - min(g_ndcg.values()) / max(g_ndcg.values()),
    "recall-gap": max(g_recall.values()) - min(g_recall.values()),
    "user-mad": float(np.mean([abs(g_ndcg[a] - g_ndcg[b]) for i, a in enumerate(names) for b in names[:i]])),
    "average-popularity": mean(lambda u: np.mean([popularity[i] for i in u["items"]])),
    "popularity-lift": mean(lambda u: np.mean([popularity[i] for i in u["items"]]))
    / mean(lambda u: np.mean([popularity[i] for i in u["history"]])) - 1,
    "long-tail": mean(lambda u: np.mean([tail[i] for i in u["items"]])),
    "long-tail-count": mean(lambda u: sum(tail[i] for i in u["items"])),
    "provider-gini": gini(shown),
    "exposure-hhi": sum((s / sum(shown)) ** 2 for s in shown),
    "popular-rsp": chances(lambda u: [i for i in range(ITEMS) if i not in u["history"]], lambda u: u["items"]),
    "popular-reo": chances(lambda u: u["targets"], lambda u: [i for i in u["items"] if i in u["targets"]]),
    "provider-shift": float(np.abs(
        sum(s * mix([i]) for i, s in enumerate(shown)) / sum(shown)
        - sum(p * mix([i]) for i, p in enumerate(popularity)) / total
    ).sum() / 2),
    "list-entropy": mean(lambda u: entropy(mix(u["items"]))),
}

# The gap's interval: the larger of a group's own and the pooled variance, Student's t of the smaller group,
# Bonferroni over three pairs.
members = {g: np.array([ndcg(u) for u in users if u["group"] == g]) for g in "abc"}
pooled = sum(((x - x.mean()) ** 2).sum() for x in members.values()) / (USERS - 3)
best, worst = max(g_ndcg, key=g_ndcg.get), min(g_ndcg, key=g_ndcg.get)
error = math.sqrt(sum(max(members[g].var(ddof=1), pooled) / len(members[g]) for g in (best, worst)))
width = t.ppf(1 - 0.025 / 3, min(len(members[g]) for g in (best, worst)) - 1) * error
gap = world["ndcg-gap"]
intervals = {
    "ndcg-gap": [gap - width, gap + width],
    "ndcg-shortfall": [(gap - width) / g_ndcg[best], min((gap + width) / g_ndcg[best], 1.0)],
}

# Lists of three values of an attribute beside neutral ones.
neutral = [rng.sample(range(60), 10) for _ in range(25)]
values = {}
for value, keep in [("x", 9), ("y", 6), ("z", 3)]:
    lists = []
    for base in neutral:
        kept = rng.sample(base, keep)
        kept += rng.sample([i for i in range(60) if i not in base], 10 - keep)
        rng.shuffle(kept)
        lists.append(kept)
    values[value] = lists
liked = [rng.sample(range(60), rng.choice([1, 3, 5])) for _ in neutral]
counterfactual = {"neutral": neutral, "values": values, "liked": liked, "expected": {}}
for name, of in likenesses.items():
    sims = [np.mean([of(a, b) for a, b in zip(lists, neutral)]) for lists in values.values()]
    counterfactual["expected"][f"snsr-{name}"] = float(max(sims) - min(sims))
    counterfactual["expected"][f"snsv-{name}"] = float(np.std(sims))
aligned = [
    np.mean([len(set(a) & set(t)) / len(t) for a, t in zip(lists, liked)]) for lists in values.values()
]
counterfactual["expected"]["alignment-gap"] = float(max(aligned) - min(aligned))

# Longer lists, and what re-ranking makes of them.
rerank = []
for user in users[:12]:
    longer = rng.sample([i for i in range(ITEMS) if i not in user["history"]], 15)
    raw = sorted((rng.random() for _ in longer), reverse=True)
    s = {i: (x - raw[-1]) / (raw[0] - raw[-1]) for i, x in zip(longer, raw)}
    sim = lambda i, j: jaccard(categories[i], categories[j])
    mmr, calibrated, debiased, fair = [], [], [], []
    p = mix(user["history"])
    for _ in range(K):
        left = [i for i in longer if i not in mmr]
        mmr.append(max(left, key=lambda i: 0.6 * s[i] - 0.4 * max((sim(i, j) for j in mmr), default=0)))
        left = [i for i in longer if i not in calibrated]

        def worth(i):
            q = 0.99 * mix(calibrated + [i]) + 0.01 * p
            some = p > 0
            kl = float((p[some] * np.log(p[some] / q[some])).sum())
            return 0.5 * sum(s[j] for j in calibrated + [i]) - 0.5 * kl

        calibrated.append(max(left, key=worth))
        left = [i for i in longer if i not in debiased]
        debiased.append(max(left, key=lambda i: 0.3 * s[i] - 0.7 * math.log1p(popularity[i]) / math.log1p(max(popularity))))
    share = {g: tail.count(g) / ITEMS for g in (False, True)}
    for _ in range(K):
        weights = [1 / math.log2(r + 1) for r in range(1, len(fair) + 1)]
        shown_to = {g: sum(w for w, j in zip(weights, fair) if tail[j] == g) for g in share}
        missing = {g: share[g] - (shown_to[g] / sum(weights) if fair else 0) for g in share}
        left = [i for i in longer if i not in fair]
        fair.append(max(left, key=lambda i: 0.5 * s[i] + 0.5 * missing[tail[i]]))
    rerank.append({
        "user": users.index(user), "items": longer, "scores": raw,
        "mmr": mmr, "calibrated": calibrated, "popularity-debiased": debiased,
        "exposure-fair": fair,
    })

guesses = []
for _ in range(80):
    p = np.array([rng.random() for _ in range(3)])
    guesses.append({"truth": rng.choice([0, 1, 1, 2]), "probabilities": (p / p.sum()).tolist()})
macro = roc_auc_score(
    [g["truth"] for g in guesses], [g["probabilities"] for g in guesses], multi_class="ovr", average="macro"
)

golden = {
    "guesses": guesses, "mean-auc": float(macro),
    "pairs": pairs, "scores": scores, "claims": claims, "ece": ece, "k": K, "users": users,
    "categories": [[f"c{c}" for c in own] for own in categories], "world": world,
    "intervals": intervals,
    "counterfactual": counterfactual, "rerank": rerank,
}
out = pathlib.Path(__file__).with_name("audit.json")
out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
