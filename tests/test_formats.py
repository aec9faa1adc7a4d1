"""Model files of every format that ever was: they load, and predict what they predicted then."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import chainrule
from chainrule.save import FORMAT, read_model

FIXTURES = Path(__file__).parent / "fixtures"
FORMATS = [f"format-{n}" for n in range(1, FORMAT + 1)]


def test_there_are_files_of_every_format():
    assert sorted(path.name for path in FIXTURES.iterdir()) == FORMATS


@pytest.mark.parametrize("folder", FORMATS)
@pytest.mark.parametrize(
    ("name", "predict"),
    [
        ("module", lambda model, x: model.predict(x.astype(np.float32))),
        ("mlp", lambda model, x: model.predict_proba(x)),
        ("net", lambda model, x: model.predict(x)),
        ("tabular", None),
    ],
)
def test_it_loads_and_predicts_as_it_did(folder, name, predict):
    expected = json.loads((FIXTURES / folder / "expected.json").read_text())
    model = chainrule.load(FIXTURES / folder / f"{name}.chainrule")
    if predict is None:
        found = model.predict_proba(pa.table(expected["table"]))
    else:
        found = predict(model, np.array(expected["input"]))
    np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("folder", FORMATS)
def test_files_of_a_format_say_so(folder):
    for path in (FIXTURES / folder).glob("*.chainrule"):
        text = path.read_bytes().decode(errors="replace")
        assert f'\\"format\\":{folder.removeprefix("format-")},' in text
        assert read_model(path).versions["chainrule"] == "0.1.0"
