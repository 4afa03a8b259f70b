"""All that the adaptive control must show in simulated time, and what it costs (`python -m benchmarks.adaptive`).

Ends with exit code 1 if a bar does not hold.
"""

from benchmarks.adaptive import cost, run

if __name__ == "__main__":
    # Both, whatever the first one comes to.
    codes = run.main(), cost.main()
    raise SystemExit(max(codes))
