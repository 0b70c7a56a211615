"""One BLAS thread for every test process: the tests are spread over the cores already. Set before NumPy is loaded."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
