task best_neighbours (xs: list) -> int
about     The largest sum of two neighbours.
requires  1 < length xs
example   [-6, -7] -> -13
example   [-7, -1, 4, -9] -> 3
example   [-2, 4, -9, 9, 7, 4] -> 16
example   [2, 8, -5, -5, 3, -8, -9] -> 10
example   [-2, 0, -8, -4, -2, -8, 5, -1] -> 4
reference maximum (zip (\x y -> x + y) xs (drop 1 xs))
