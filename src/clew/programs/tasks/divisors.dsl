task divisors (n: int) -> list
about     The divisors of n, the smallest first.
requires  0 < n && n <= 200
ensures   head result == 1
ensures   last result == n
example   1 -> [1]
example   7 -> [1, 7]
example   12 -> [1, 2, 3, 4, 6, 12]
example   16 -> [1, 2, 4, 8, 16]
example   30 -> [1, 2, 3, 5, 6, 10, 15, 30]
reference filter (\x -> n % x == 0) (drop 1 (range (n + 1)))
