task sum_of_largest (k: int, xs: list) -> int
about     The sum of the k largest elements.
requires  0 <= k && k <= length xs
ensures   k != 1 || result == maximum xs
example   2, [9, 9] -> 18
example   4, [7, -8, 7, -8, 2] -> 8
example   2, [-4, 3, -9, -6] -> -1
example   4, [0, -7, 4, -6, -1, 9] -> 12
example   3, [7, 1, 5, 0, 3, -2, 4, -4] -> 16
reference sum (take k (reverse (sort xs)))
