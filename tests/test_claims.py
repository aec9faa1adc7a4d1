"""The claims of the notes: their statistics, their rules, and a quick look at the cheap ones."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import benchmarks.claims
from benchmarks.claims import book
from benchmarks.claims.book import CLAIMS, Claim, Result, Run, Sample, ids, measured, page, verdict

PAGE = Path(__file__).parents[1] / "docs" / "claims.md"

# What does not depend on the machine's speed, and on chance so little that three seeds decide.
CHEAP = {
    "P12": ["fails"],
    "P14": ["holds only if"],
    "A16": ["holds", "holds only if"],
    "A18": ["holds only if", "holds"],
    "A20": ["holds", "fails"],
    "A23": ["holds", "holds only if", "holds"],
    "H04": ["holds"],
    "L08": ["holds", "holds"],
    "L27": ["fails"],
    "O14": ["holds"],
    "O16": ["holds only if"],
    "Q13": ["fails"],
    "R21": ["holds"],
    "R22": ["holds only if"],
    "V01": ["holds"],
    "V03": ["holds only if"],
    "V05": ["holds", "fails"],
    "V08": ["holds only if"],
}


@pytest.mark.parametrize("name", CHEAP)
def test_verdicts_of_cheap_claims(name):
    found = list(measured([name], quick=True))
    short = [result.verdict.partition(" if ")[0] for result in found]
    assert short == [text.removesuffix(" if") for text in CHEAP[name]]
    assert all(re.search(r"\d", result.measured) for result in found)


def test_every_claim_says_what_where_and_by_which_rule():
    for claim in CLAIMS:
        assert re.fullmatch(r"[A-Z]\d\d", claim.id), claim
        assert claim.where.startswith(("A:L", "B:L")), claim
        assert claim.quote, claim
        assert claim.rule, claim


def test_page_has_every_claim_once():
    rows = re.findall(r"^\| \*\*([A-Z]\d\d)\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [claim.id for name in ids() for claim in CLAIMS if claim.id == name]


def test_unknown_rows_are_refused():
    with pytest.raises(ValueError, match="no claim Z99; there are A15"):
        list(measured(["Z99"]))


def test_a_sample_is_its_mean_and_standard_error():
    values = np.random.default_rng(0).normal(size=50)
    sample = Sample(values)
    assert sample.mean == pytest.approx(values.mean())
    assert sample.error == pytest.approx(values.std(ddof=1) / 50**0.5)
    assert Sample([3.0]).error == 0.0
    assert str(Sample([0.0, 0.0])) == "0 ± 0"
    assert str(Sample([1e-20, 3e-20])) == "2.0e-20 ± 1e-20"


def test_noise_alone_is_seldom_a_difference():
    rng = np.random.default_rng(0)
    pairs = [(Sample(rng.normal(size=10)), Sample(rng.normal(size=10))) for _ in range(1000)]
    assert np.mean([a.below(b) for a, b in pairs]) < 0.06
    assert not Sample([1.0, 1.0]).below(Sample([1.0, 1.0]))


def test_verdicts_follow_from_the_rule():
    assert verdict(True, only_if=("x", True)) == "holds"
    assert verdict(False, only_if=("x", True)) == "holds only if x"
    assert verdict(False, only_if=("x", False)) == "fails"
    assert verdict(False) == "fails"


def test_a_planted_claim_that_is_false_fails():
    def measure(run):
        share = Sample(
            [np.mean(np.random.default_rng(s).normal(size=100) > 0) for s in run.seeds(5)]
        )
        return str(share), verdict(Sample([0.9] * 3).below(share))

    claim = Claim("Z01", "A:L1", "nine of ten (normal numbers)", "share above 0.9", measure)
    result = Result(claim, *claim.measure(Run(quick=True)))
    assert result.verdict == "fails"
    text = page([result], "Here.")
    assert '| **Z01**<br>A:L1 | "nine of ten" (normal numbers) |' in text
    assert "Verdicts: 1 fails." in text


def test_examples():
    for module in (book, benchmarks.claims):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed
