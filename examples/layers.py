"""Layers: what the units of a convolutional net look for, and how much each layer knows.

    python examples/layers.py

Outlines of circles, squares, triangles and crosses, at any place and size, with noise. From what
each layer gives (the mean and the largest value of every channel) a linear model is trained to name
the shape: the accuracy of these probes rises with depth (Alain and Bengio, 2016). For every unit of
the first two layers, the pieces of test images that move it most are written to units.svg.
"""

from pathlib import Path

import numpy as np

from chainrule import NetClassifier, nn

SIZE = 24
SHAPES = ("circle", "square", "triangle", "cross")


def outline(shape: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance from the outline of a shape of radius 1 at 0."""
    if shape == 0:
        return np.abs(np.hypot(x, y) - 0.9)
    if shape == 1:
        return np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.8)
    if shape == 2:
        return np.abs(np.maximum(y, 0.87 * np.abs(x) - 0.5 * y) - 0.5)
    within = np.maximum(np.abs(x), np.abs(y)) < 1
    return np.where(within, np.minimum(np.abs(x - y), np.abs(x + y)) / 1.4, 1)


def shapes(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images of shape (1, SIZE, SIZE), and which outline each shows."""
    labels = rng.integers(0, len(SHAPES), rows)
    places = np.arange(SIZE)
    images = []
    for label in labels:
        radius = rng.uniform(5, 9)
        x, y = (places - rng.uniform(radius + 1, SIZE - radius - 1, 2)[:, None]) / radius
        near = outline(label, x[None, :], y[:, None]) * radius < 0.8
        images.append(near + 0.3 * rng.normal(size=near.shape))
    return np.array(images, np.float32)[:, None], labels


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 3 * 3, len(SHAPES)),
    )  # fmt: skip


def given(model: nn.Sequential, X: np.ndarray) -> list[np.ndarray]:
    """Give the images, and what each activation makes of them."""
    found = [X]
    for layer in model:
        X = layer.predict(X)
        if isinstance(layer, nn.Activation):
            found.append(X)
    return found


def summed_up(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x.mean(axis=(2, 3)), x.max(axis=(2, 3))], axis=1)


def probe(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy of a linear model of the means and largest values of the channels."""
    x, x_test = summed_up(x), summed_up(x_test)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
    model = NetClassifier(nn.Linear(x.shape[1], len(SHAPES)), lr=0.03, epochs=40, random_state=0)
    return model.fit((x - mean) / std, y).score((x_test - mean) / std, y_test)


def favourites(images: np.ndarray, x: np.ndarray, step: int, reach: int) -> list[np.ndarray]:
    """For each unit, the pieces of the four images that move it most, side by side.

    A place of the layer sees `reach` pixels around `step` times its number.
    """
    around = np.pad(images[:, 0], ((0, 0), (reach, reach), (reach, reach)))
    found = []
    for unit in range(x.shape[1]):
        best = np.argsort(-x[:, unit].max(axis=(1, 2)))[:4]
        pieces = []
        for image in best:
            i, j = np.unravel_index(x[image, unit].argmax(), x.shape[2:])
            top, left = i * step + (step > 1), j * step + (step > 1)
            piece = around[image, top : top + 2 * reach + 1, left : left + 2 * reach + 1]
            pieces.append(np.pad(piece, ((0, 0), (0, 1))))  # white between the pieces
        found.append(np.concatenate(pieces, axis=1))
    return found


def picture(units: list[list[np.ndarray]]) -> str:
    """Draw each layer as a column of units, dark where the image is."""
    cells, left, bottom = [], 0, 0
    for layer in units:
        top = 0
        for piece in layer:
            for (i, j), value in np.ndenumerate(np.clip(piece, 0, 1)):
                shade = round(255 * (1 - value))
                cells.append(f'<rect x="{left + 3 * j}" y="{top + 3 * i}" width="3" height="3" '
                             f'fill="rgb({shade},{shade},{shade})"/>')  # fmt: skip
            top += 3 * len(piece) + 6
        bottom = max(bottom, top)
        left += 3 * layer[0].shape[1] + 30
    size = f'width="{left}" height="{bottom}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(cells)}</svg>'


def main(epochs: int = 12, out: str | None = "units.svg") -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, y = shapes(3000, rng)
    X_test, y_test = shapes(1000, rng)
    net = NetClassifier(network(), lr=0.003, epochs=epochs, batch_size=50, random_state=0).fit(X, y)
    seen, seen_test = given(net.module_, X), given(net.module_, X_test)
    figures = {"accuracy of the net": net.score(X_test, y_test)}
    for depth, (x, x_test) in enumerate(zip(seen, seen_test, strict=True)):
        figures[f"accuracy of a probe, layer {depth}"] = probe(x, y, x_test, y_test)
    for name, value in figures.items():
        print(f"{name:30s} {value:.3f}")
    units = [favourites(X_test, seen_test[1], 1, 2), favourites(X_test, seen_test[2], 2, 4)]
    figures["units drawn"] = sum(map(len, units))
    if out is not None:
        Path(out).write_text(picture(units))
        print(f"{figures['units drawn']} units are drawn in {out}")
    return figures


if __name__ == "__main__":
    main()
