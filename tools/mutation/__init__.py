"""Mutation testing: small changes are made to the code, one at a time, and a test has to fail.

python -m tools.mutation --sample 100 --seed 1            100 changes of each module, at random
python -m tools.mutation --module ops --module graph      all changes of two modules
python -m tools.mutation --again ...                      those that survived once more
python -m tools.mutation --report ...                     what is known of them, without trying
python -m tools.mutation --control ...                    the tests of each, without the change

The changes are those of cosmic-ray, and three more of calls (`mutants.py`). First, once, the tests
run under `coverage`, which notes the lines that each test reaches (`reach.py`). A change is written
into a copy of this folder and tried in a forked process that has not yet imported chainrule. Only
tests run that reach the line, and the first that fails ends them (`trial.py`). Where code becomes
machine code, slow tests follow if all of these pass. What came out is kept in `.mutation`, and is
not tried again while the file is as it was.
"""
