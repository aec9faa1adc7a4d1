"""Speech: the four tones of a syllable, told from generated audio.

    python examples/tones.py

A syllable of a third of a second: a voice whose pitch stays, rises, dips or falls, with overtones,
a vowel's resonances and noise. Voices differ in pitch, from 100 to 260 Hz, so only its course tells
the tones apart. A Conv1d reads the spectrum along time, frequencies as channels.
"""

import numpy as np

from chainrule import NetClassifier, metrics, nn

RATE, SECONDS = 8000, 0.32
TONES = ("level", "rising", "dipping", "falling")


def syllable(tone: int, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """Sound of a voice of that pitch, in Hz, at 8,000 samples a second."""
    t = np.linspace(0, 1, round(RATE * SECONDS))
    course = (0 * t, 8 * t - 4, 24 * (t - 0.5) ** 2 - 3, 4 - 8 * t)[tone]
    frequency = pitch * 2 ** ((course * rng.uniform(0.7, 1.3) + rng.normal(0, 0.3)) / 12)
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    first, second = rng.uniform(300, 800), rng.uniform(900, 2200)
    sound = np.zeros_like(t)
    for k in range(1, 13):
        heard = sum(np.exp(-(((k * pitch - f) / 250) ** 2)) for f in (first, second))
        sound += (0.2 + heard) / k * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return sound * np.sin(np.pi * t) ** 0.5 + 0.1 * rng.normal(size=len(t))


def spectrum(sound: np.ndarray) -> np.ndarray:
    """Logarithms of the magnitudes up to 1,500 Hz: (96 frequencies, 29 times)."""
    window, hop = 512, 72
    starts = np.arange(0, len(sound) - window + 1, hop)
    frames = sound[starts[:, None] + np.arange(window)] * np.hanning(window)
    magnitude = np.abs(np.fft.rfft(frames, axis=1))[:, :96]
    return np.log(magnitude + 0.1).T


def recorded(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of syllables, each of another voice, and their tones."""
    tones, voices = rng.integers(0, 4, rows), rng.uniform(100, 260, rows)
    X = [spectrum(syllable(tone, voice, rng)) for tone, voice in zip(tones, voices, strict=True)]
    return np.array(X, np.float32) / 3, tones


def network(frequencies: int = 96) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(frequencies, 32, 5, padding=2), nn.Activation("relu"), nn.MaxPool1d(2),
        nn.Conv1d(32, 32, 3, padding=1), nn.Activation("relu"),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 14, 4),
    )  # fmt: skip


def main(rows: int = 3000, epochs: int = 30) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, y = recorded(rows, rng)
    X_test, y_test = recorded(500, rng)
    net = NetClassifier(network(), lr=0.003, epochs=epochs, batch_size=50, random_state=0).fit(X, y)
    found = net.predict(X_test)
    figures = {"accuracy": metrics.accuracy_score(y_test, found)}
    print(f"one syllable: {RATE * SECONDS:.0f} samples, as {X.shape[1]} x {X.shape[2]} numbers")
    print(f"accuracy with {len(y_test)} syllables of other voices: "
          f"{figures['accuracy']:.3f}")  # fmt: skip
    for tone, row in zip(TONES, metrics.confusion_matrix(y_test, found), strict=True):
        print(f"{tone:8s} taken for", dict(zip(TONES, row.tolist(), strict=True)))
    return figures


if __name__ == "__main__":
    main()
