task neighbour_steps (xs: list) -> list
about     How much larger each element is than the one before it.
ensures   is_empty xs || sum result == last xs - head xs
example   [-9, 7] -> [16]
example   [8, -4, -7, 5, 4, -1] -> [-12, -3, 12, -1, -5]
example   [-1, -6, -9, 5, 1, 8, 6] -> [-5, -3, 14, -4, 7, -2]
example   [2, -7, -8, 8, 8, -8] -> [-9, -1, 16, 0, -16]
example   [-3, -5, 9, 7, 2, 8, -2, 0] -> [-2, 14, -2, -5, 6, -10, 2]
reference zip (\x y -> y - x) xs (drop 1 xs)
