task sum_of_smallest (k: int, xs: list) -> int
about     The sum of the k smallest elements.
requires  0 <= k && k <= length xs
ensures   k != 1 || result == minimum xs
example   2, [3, 1, 2] -> 3
example   0, [] -> 0
example   3, [9, -4, 7, 0] -> 3
example   1, [5, 8] -> 5
example   4, [6, 6, 1, 2, 10] -> 15
reference sum (take k (sort xs))
