task best_stretch (xs: list) -> int
about     The largest sum of elements that stand side by side, one at least (Kadane).
requires  not (is_empty xs)
ensures   maximum xs <= result
example   [-6] -> -6
example   [4, -9, -8, 0] -> 4
example   [7, -6, 5, 1, -7] -> 7
example   [2, 1, 5, 7, 4, 1] -> 20
example   [-3, -6, -7, -5, -4, 6, 4, -2, 5] -> 13
reference maximum (scan (\x y -> max y (x + y)) xs)
