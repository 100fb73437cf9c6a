task first_k (k: int, xs: list) -> list
about     The first k elements, or all where there are fewer.
requires  0 <= k
ensures   length result <= k
example   4, [-7, -2] -> [-7, -2]
example   3, [-4, 6, -2, 9, 3] -> [-4, 6, -2]
example   2, [7, 1, -1, -7, 1, 4, -4] -> [7, 1]
example   4, [9, -1, 3, -3, -8, 1, -8] -> [9, -1, 3, -3]
example   3, [-4, -8, 6, 2, -9, 2, 8, -8, 6] -> [-4, -8, 6]
reference take k xs
