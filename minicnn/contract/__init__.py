"""The kernel contract, run on anybody's kernels: `minicnn check mykernels.py` as a function.

    from minicnn import contract

    report = contract.check("mykernels.py")     # or a module, as `use_backend` takes it
    report.ok, report.right, report.wrong, report.missing
    print(report)

The contract is the names, signatures and meanings of `minicnn.kernels.kernel_names()`: arrays in
C order, float32 or float64, in; new arrays of the same dtype out, and nothing else changed.
"""

from minicnn.contract.checking import check
from minicnn.contract.report import Report
from minicnn.contract.verdicts import Failure, Verdict

__all__ = ["Failure", "Report", "Verdict", "check"]
