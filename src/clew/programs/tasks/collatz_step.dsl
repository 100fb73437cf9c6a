task collatz_step (n: int) -> int
about     Half of n where it is even, else one more than three times n.
requires  0 < n && n <= 1000
ensures   0 < result
example   1 -> 4
example   2 -> 1
example   7 -> 22
example   10 -> 5
example   27 -> 82
reference if (even n) (n / 2) (3 * n + 1)
