task best_beginning (xs: list) -> int
about     The largest sum of a beginning of the list that is not empty.
requires  not (is_empty xs)
ensures   head xs <= result && sum xs <= result
example   [-2, -9] -> -2
example   [9, -9, 8, -3, 5, -7] -> 10
example   [4, -5, -5, -7, 2, -3] -> 4
example   [-5, 0, 9, -4, 0, 0, 5] -> 5
example   [-1, -6, -8, 6, 4, 2, 2, -9] -> -1
reference maximum (scan (\x y -> x + y) xs)
