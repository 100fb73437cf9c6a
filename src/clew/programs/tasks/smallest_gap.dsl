task smallest_gap (xs: list) -> int
about     The smallest difference between two elements.
requires  1 < length xs
ensures   0 <= result
example   [-5, 19] -> 24
example   [-17, 11, -8, -5] -> 3
example   [8, 18, 0] -> 8
example   [20, -18, -7, 5] -> 11
example   [1, -6, 3, -11] -> 2
reference minimum (zip (\x y -> y - x) (sort xs) (drop 1 (sort xs)))
