"""Prints the arguments of the run: a minimal job."""

import sys

print(sys.argv)
