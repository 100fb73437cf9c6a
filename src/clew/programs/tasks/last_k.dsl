task last_k (k: int, xs: list) -> list
about     The last k elements in their order, or all where there are fewer.
requires  0 <= k
ensures   length result <= k
example   1, [-2, 4] -> [4]
example   2, [-2, 3, -1, -2] -> [-1, -2]
example   3, [-5, -3, -8, 8, -7, 2, 0] -> [-7, 2, 0]
example   3, [6, -3, 7, -7, -5, -7, -5] -> [-5, -7, -5]
example   4, [7, -6, -9, -9, 5, 7, 4, 2] -> [5, 7, 4, 2]
reference reverse (take k (reverse xs))
