"""Generation: two nets play against each other until one draws from N(4, 1.25).

    python examples/gan.py

The generator turns noise into numbers, the discriminator tells them from real ones, and each learns
from the other (Goodfellow et al., 2014): two nets, two optimizers, a loop of one's own. The
generator's loss is -log D(G(z)), which has a slope also while it loses. The second target has two
peaks.
"""

import numpy as np

from chainrule import losses, nn, optim

bce = losses.binary_cross_entropy_with_logits


def play(real: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Train both nets on batches of `real` numbers; give 10,000 generated ones."""
    rng = np.random.default_rng(seed)
    generator = nn.mlp([4, 32, 32, 1], "relu", seed=rng)
    discriminator = nn.mlp([1, 32, 32, 1], "leaky_relu", seed=rng)
    of_generator = optim.Updater(generator.parameters(), optim.Adam(5e-4, beta1=0.5))
    of_other = optim.Updater(discriminator.parameters(), optim.Adam(2e-3, beta1=0.5))
    ones, zeros = np.ones((128, 1), np.float32), np.zeros((128, 1), np.float32)
    center, width = real.mean(), real.std()
    for _ in range(steps):
        chosen = (rng.choice(real, (128, 1)) - center) / width
        noise = rng.normal(size=(128, 4)).astype(np.float32)
        made = generator(noise)
        fooled = bce(discriminator(made), ones)
        told = bce(discriminator(chosen), ones) + bce(discriminator(made.detach()), zeros)
        fooled.backward()
        of_generator.step()
        discriminator.zero_grad()
        told.backward()
        of_other.step()
    noise = rng.normal(size=(10_000, 4)).astype(np.float32)
    return generator.predict(noise)[:, 0] * width + center


def main(seeds: int = 5, steps: int = 1500) -> dict[str, float]:
    rng = np.random.default_rng(100)
    single = rng.normal(4, 1.25, 20_000).astype(np.float32)
    peaks = single + rng.choice([-6, 6], single.shape).astype(np.float32)
    means, widths = [], []
    for seed in range(seeds):
        drawn = play(single, steps, seed)
        means.append(float(drawn.mean()))
        widths.append(float(drawn.std()))
        print(f"seed {seed}: mean {means[-1]:.2f}, std {widths[-1]:.2f}")
    shares = [float((play(peaks, steps, seed) > 4).mean()) for seed in range(2)]
    print("of two peaks, at the upper one:", ", ".join(f"{share:.0%}" for share in shares))
    near = [abs(m - 4) < 0.3 and abs(s - 1.25) < 0.4 for m, s in zip(means, widths, strict=True)]
    return {
        "mean of the means": float(np.mean(means)),
        "mean of the stds": float(np.mean(widths)),
        "seeds near N(4, 1.25)": sum(near),
        "least share of a peak": min(*shares, *(1 - share for share in shares)),
    }


if __name__ == "__main__":
    main()
