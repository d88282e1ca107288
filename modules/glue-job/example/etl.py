"""Says what it was started with: the least a job can do."""

import sys

print(sys.argv)
