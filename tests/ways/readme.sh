#!/bin/bash
# SPDX-License-Identifier: MIT
# Every command of examples/README.md prints what the README shows; if this
# fails, the first thing that a new user tries does not work.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need cmake cmake
need cargo cargo

export LD_LIBRARY_PATH=$libdir
python3 "$ASHLAR_SRC/tests/ways/document.py" "$ASHLAR_SRC/examples/README.md" "$examples"
