task kth_smallest (k: int, xs: list) -> int
about     The element that k others precede in order of size.
requires  0 <= k && k < length xs
ensures   contains result xs
example   0, [2] -> 2
example   0, [-2, 1, 8, 7, 2] -> -2
example   2, [-7, 3, -8, 8, 8] -> 3
example   2, [2, -4, 9, -3, -6, -5] -> -4
example   1, [-9, 0, 7, -8, 0, 3, -4, -4, -3] -> -8
reference at k (sort xs)
