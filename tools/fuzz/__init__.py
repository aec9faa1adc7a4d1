"""Coverage-guided fuzzing of all that reads files: whatever the bytes are, the answer is in words.

python -m tools.fuzz model --minutes 10    one target, into .fuzz/model
python -m tools.fuzz --minutes 10          all of them, one after the other

A target takes the bytes of a file. It may give a result, or raise a `ChainruleError`; any other
exception, an input that takes longer than 20 seconds or more than 1 GiB of memory, and a crash are
findings. Those of one run are told apart by their place, and each is kept as a file. An input that
was fixed goes to `tests/fuzz_inputs/TARGET`, and `tests/test_fuzz.py` tries it ever after.
"""
