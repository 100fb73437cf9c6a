task sum_of_smallest (k: int, xs: list) -> int
about     The sum of the k smallest elements.
requires  0 <= k && k <= length xs
ensures   k != 1 || result == minimum xs
example   1, [-6, 9] -> -6
example   4, [0, 1, -1, 3] -> 3
example   2, [-3, -4, -7, 1, -4, -2] -> -11
example   4, [9, 6, -7, 8, -6, 2] -> -5
example   1, [-3, 9, 9, 0, -5, 1, 4, -8] -> -8
reference sum (take k (sort xs))
