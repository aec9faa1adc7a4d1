"""Text: sentiment by a GRU, spam and topics by bags of words.

    python examples/text.py

Three tasks, each measured on texts that were held out. Sentiment: generated reviews in which "not"
and "hardly" turn a word around, so that the order counts; a bag of words stays behind. Spam:
generated messages, most of them harmless sentences, with misspelt words. Topic: which part of SciPy
a real docstring comes from, its own names taken out.
"""

import inspect
import re
from collections import Counter
from importlib import import_module

import numpy as np

import chainrule as cr
from chainrule import NetClassifier, nn, optim

GOOD = ["great", "fine", "clever", "moving", "funny", "warm", "bright", "lovely"]
BAD = ["dull", "weak", "boring", "cold", "clumsy", "noisy", "slow", "ugly"]
THINGS = ["plot", "cast", "music", "ending", "dialogue", "camera", "story", "pace"]
TURNS = ["not", "hardly", "never", "anything but"]
HAM = [
    "are you free for lunch tomorrow", "the meeting moved to {n}", "can you call me when you win",
    "please send the report before {n}", "thanks for the prize idea last week",
    "I left the keys with the neighbour", "the offer from the bank came today",
    "see you at {n} near the station", "do not click save before closing",
    "money is tight this month",
]  # fmt: skip
SPAM = [
    "you win a free prize of {n}", "click now to claim your money", "limited offer just for you",
    "cheap loans of {n} without checks", "send your bank details to claim", "act now and earn {n}",
]  # fmt: skip
PARTS = ("stats", "signal", "special", "linalg", "ndimage", "integrate")


def sentiment(rows: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Reviews of one to four clauses; the label is what most clauses mean."""
    texts, labels = [], []
    while len(texts) < rows:
        clauses, meant = [], 0
        for thing in rng.choice(THINGS, rng.integers(1, 5), replace=False):
            good, turned = rng.random() < 0.5, rng.random() < 0.4
            turn = [rng.choice(TURNS)] if turned else []
            word = rng.choice(GOOD if good else BAD)
            clauses.append(" ".join(["the", thing, "is", *turn, word]))
            meant += 1 if good != turned else -1
        if meant:
            texts.append(" and ".join(clauses))
            labels.append(int(meant > 0))
    return texts, np.array(labels)


def spam(rows: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Messages of two to four sentences; spam has one that wants something."""
    labels = rng.integers(0, 2, rows)
    texts = []
    for label in labels:
        lines = list(rng.choice(HAM, rng.integers(2, 5), replace=False))
        if label:
            lines[rng.integers(len(lines))] = rng.choice(SPAM)
        text = ". ".join(lines).replace("{n}", str(rng.integers(1, 5000)))
        slips = rng.random(len(text)) < 0.01
        texts.append("".join("x" if slip else c for c, slip in zip(text, slips, strict=True)))
    return texts, labels


def topics(rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Docstrings of the public functions and classes of parts of SciPy, in random order."""
    found: dict[str, int] = {}
    for label, part in enumerate(PARTS):
        module = import_module(f"scipy.{part}")
        for name in sorted(set(dir(module)) & set(module.__all__)):
            text = inspect.getdoc(getattr(module, name)) or ""
            if len(text) > 300 and text not in found:
                found[re.sub(rf"\b({'|'.join(PARTS)}|{re.escape(name)})\b", " ", text)] = label
    order = rng.permutation(len(found))
    texts = list(found)
    return [texts[i] for i in order], np.array(list(found.values()))[order]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d", text.lower())


class Vocabulary:
    """The words that training texts have at least twice, numbered from 1; 0 is any other."""

    def __init__(self, texts: list[str], most: int = 3000) -> None:
        counts = Counter(word for text in texts for word in words(text)).most_common(most)
        self.numbers = {word: i for i, (word, n) in enumerate(counts, start=1) if n > 1}

    def __len__(self) -> int:
        return len(self.numbers) + 1

    def bags(self, texts: list[str]) -> np.ndarray:
        """Say of each text which words it has: (texts, words)."""
        bags = np.zeros((len(texts), len(self)), np.float32)
        for row, text in enumerate(texts):
            bags[row, [self.numbers.get(word, 0) for word in words(text)]] = 1
        return bags

    def sequences(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Give the numbers of the words, padded to one length, and the lengths."""
        rows = [[self.numbers.get(word, 0) for word in words(text)] for text in texts]
        lengths = np.array([len(row) for row in rows])
        padded = np.zeros((len(rows), lengths.max()), int)
        for row, numbers in zip(padded, rows, strict=True):
            row[: len(numbers)] = numbers
        return padded, lengths


class Reader(nn.Module):
    """A vector per word, and a GRU that reads them in order; the last state gives the logit."""

    def __init__(self, vocabulary: int, units: int = 24, seed: int = 0) -> None:
        self.embedding = nn.Embedding(vocabulary, 16, std=0.3, seed=seed)
        self.gru = nn.GRU(16, units, batch_first=True, returns="last", seed=seed)
        self.out = nn.Linear(units, 1, seed=seed)

    def forward(self, numbers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self.out(self.gru(self.embedding(numbers), lengths=lengths))


def by_bag(texts: list[str], y: np.ndarray, rows: int) -> float:
    """Learn the first rows by a bag of words; give the accuracy on the others."""
    vocabulary = Vocabulary(texts[:rows])
    net = NetClassifier(lr=0.003, epochs=30, random_state=0)
    net.fit(vocabulary.bags(texts[:rows]), y[:rows])
    return net.score(vocabulary.bags(texts[rows:]), y[rows:])


def by_order(texts: list[str], y: np.ndarray, rows: int, epochs: int) -> float:
    """Learn the first rows by a GRU; give the accuracy on the others."""
    vocabulary = Vocabulary(texts[:rows])
    numbers, lengths = vocabulary.sequences(texts)
    model = Reader(len(vocabulary))
    cr.train(model, "binary_cross_entropy_with_logits", (numbers[:rows], lengths[:rows]),
             y[:rows, None].astype(np.float32), optimizer=optim.Adam(0.01), schedule="cosine",
             epochs=epochs, clip_norm=1.0, seed=0)  # fmt: skip
    logits = model.predict(numbers[rows:], lengths[rows:])
    return float(np.mean((logits[:, 0] > 0) == y[rows:]))


def main(rows: int = 2000, epochs: int = 12) -> dict[str, float]:
    rng = np.random.default_rng(0)
    reviews, meant = sentiment(2 * rows, rng)
    messages, unwanted = spam(2 * rows, rng)
    docstrings, part = topics(rng)
    figures = {
        "sentiment, GRU": by_order(reviews, meant, rows, epochs),
        "sentiment, bag of words": by_bag(reviews, meant, rows),
        "spam, bag of words": by_bag(messages, unwanted, rows),
        "topic, bag of words": by_bag(docstrings, part, len(part) * 3 // 4),
    }
    print(f"A review: {reviews[0]}.\nA message: {messages[0]}.")
    for name, value in figures.items():
        print(f"{name:25s} accuracy {value:.3f}")
    return figures


if __name__ == "__main__":
    main()
