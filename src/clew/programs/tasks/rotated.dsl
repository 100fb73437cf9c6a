task rotated (k: int, xs: list) -> list
about     The list with its first k elements moved to its end.
requires  0 <= k
ensures   length result == length xs
example   1, [0, 3] -> [3, 0]
example   3, [8, 9, 7, 9, -1, -9, 4] -> [9, -1, -9, 4, 8, 9, 7]
example   4, [-3, 0, 4, 1, 6, -7, -2] -> [6, -7, -2, -3, 0, 4, 1]
example   4, [-8, -5, -9, 0, -7] -> [-7, -8, -5, -9, 0]
example   3, [-2, 9, 4, 1, -8, -3, 0, -2, 5] -> [1, -8, -3, 0, -2, 5, -2, 9, 4]
reference append (drop k xs) (take k xs)
