task triangular (n: int) -> int
about     The sum of the whole numbers from 1 to n.
requires  0 <= n && n <= 200
ensures   result * 2 == n * (n + 1)
example   0 -> 0
example   1 -> 1
example   4 -> 10
example   7 -> 28
example   10 -> 55
reference sum (range (n + 1))
