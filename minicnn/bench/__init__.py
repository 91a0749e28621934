"""The measuring rod: what each rung, and each peer, makes of the machine (`minicnn bench`).

    cases       what is measured: operations with their shapes, FLOPs and bytes, in suites
    contenders  who is measured: the rungs, and other frameworks; each in processes of its own
    host        what runs in such a process; `ours` computes there on a rung of ours
    measuring   correctness first, then round after round, each contender in turn
    figures     medians, quartiles, paired ratios, shares of what the machine can do
    table, charts, comparing    what is made of the figures

A ratio is a speed: above 1 is faster than the baseline.
"""
