task longest_streak (xs: list) -> int
about     The most elements above 0 that stand side by side.
requires  not (is_empty xs)
ensures   0 <= result && result <= length xs
example   [5] -> 1
example   [-4, 6, 5, 8, 6, 4, 3, 5] -> 7
example   [1, 6, 6, 5, 4, -2, 7] -> 5
example   [-3, 3, 8, -2, 3, 5, 2] -> 3
example   [4, -2, 7, 2, -4, 3, 6, 7, 6, -1] -> 4
reference maximum (scan (\x y -> if (y == 0) 0 (x + y)) (map (\x -> if (0 < x) 1 0) xs))
