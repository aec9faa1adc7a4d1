"""Language: a GRU reads Python's own manual letter by letter, and then writes.

    python examples/characters.py

The text is that of `help("topics")`, which comes with Python. The first nine tenths are learned in
pieces of 64 characters; the loss is that of the last tenth, in nats per character, beside those of
models that know the frequencies of single characters and of pairs. At the end the net goes on from
a few words, a character at a time from the state where it was.
"""

from pydoc_data.topics import topics

import numpy as np

import chainrule as cr
from chainrule import functional, losses, nn, optim

LENGTH = 64


class Writer(nn.Module):
    """A vector per character, a GRU, and a logit per character that may come next."""

    def __init__(self, characters: int, units: int = 128, seed: int = 0) -> None:
        self.embedding = nn.Embedding(characters, 32, std=0.3, seed=seed)
        self.gru = nn.GRU(32, units, batch_first=True, seed=seed)
        self.out = nn.Linear(units, characters, seed=seed)

    def forward(self, numbers):
        return self.out(self.gru(self.embedding(numbers))[0])

    def go_on(self, numbers: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
        """Draw `count` characters, each from the probabilities after all before it."""
        written: list[int] = []
        with cr.no_grad():
            outputs, state = self.gru(self.embedding(numbers[None]))
            while len(written) < count:
                shares = functional.softmax(self.out(outputs[:, -1]) / 0.7).numpy()[0]
                written.append(rng.choice(len(shares), p=shares / shares.sum()))
                outputs, state = self.gru(self.embedding(np.array([written[-1:]])), state)
        return written


def pieces(numbers: np.ndarray) -> np.ndarray:
    """Cut into rows of one more than LENGTH: all but the last are read, all but the first told."""
    starts = np.arange(0, len(numbers) - LENGTH, LENGTH)
    return numbers[starts[:, None] + np.arange(LENGTH + 1)]


def by_counts(learned: np.ndarray, tested: np.ndarray, characters: int) -> dict[str, float]:
    """Losses of the frequencies of characters, and of pairs of them; each counts once more."""
    single = np.bincount(learned, minlength=characters) + 1.0
    pairs = np.ones((characters, characters))
    np.add.at(pairs, (learned[:-1], learned[1:]), 1)
    pairs /= pairs.sum(axis=1, keepdims=True)
    return {
        "loss of single characters": -float(np.log(single / single.sum())[tested].mean()),
        "loss of pairs": -float(np.log(pairs)[tested[:-1], tested[1:]].mean()),
    }


def main(epochs: int = 10, size: int | None = None) -> dict[str, float]:
    text = "\n\n".join(topics[name] for name in sorted(topics))[:size]
    letters, numbers = np.unique(list(text), return_inverse=True)
    learned, tested = np.split(numbers, [len(numbers) * 9 // 10])
    rows, held_out = pieces(learned), pieces(tested)
    model = Writer(len(letters))
    cr.train(model, "cross_entropy", rows[:, :-1], rows[:, 1:], optimizer=optim.Adam(0.005),
             schedule="cosine", epochs=epochs, batch_size=32, clip_norm=1.0, seed=0)  # fmt: skip
    loss = losses.cross_entropy(model.predict(held_out[:, :-1]), held_out[:, 1:])
    figures = by_counts(learned, tested, len(letters)) | {"loss of the GRU": float(loss)}
    for name, value in figures.items():
        print(f"{name:27s} {value:.3f} nats per character")
    start = "The statement "
    known = np.searchsorted(letters, list(start))
    written = model.go_on(known, 300, np.random.default_rng(0))
    print(start + "".join(letters[written]))
    return figures


if __name__ == "__main__":
    main()
