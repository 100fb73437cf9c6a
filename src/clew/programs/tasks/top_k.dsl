task top_k (k: int, xs: list) -> list
about     The k largest elements, the largest first.
requires  0 <= k
ensures   length result <= k
example   2, [-8, -7] -> [-7, -8]
example   2, [-6, 2, 5, 9, -8, 6, 6] -> [9, 6]
example   5, [-1, 4, -5, 6, -9, -8, -6] -> [6, 4, -1, -5, -6]
example   3, [-6, 6, 0, 8, -3, -4] -> [8, 6, 0]
example   2, [6, 9, -5, 8, 3, 7, 1, 4, -4] -> [9, 8]
reference take k (reverse (sort xs))
