"""Long checks that nothing is lost and nothing is wrong: `make nightly` runs them.

python -m tools.trust.resume   random trainings, stopped at random, go on to the same bits
python -m tools.trust.saves    every system call of a save fails, and is where it is killed (strace)
python -m tools.trust.load     16 threads, forked and spawned processes, memory over 100,000 steps
"""
