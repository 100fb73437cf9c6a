task kth_largest (k: int, xs: list) -> int
about     The element that k others precede, the largest first.
requires  0 <= k && k < length xs
ensures   contains result xs
example   0, [4, 0] -> 4
example   2, [7, -7, -3, -8, -4] -> -4
example   0, [9, -8, 2, 6, -8] -> 9
example   0, [7, -7, 3, -2, -2, 1] -> 7
example   3, [-4, 5, -7, -9, 9, 2, -1, -5, -3] -> -1
reference at k (reverse (sort xs))
