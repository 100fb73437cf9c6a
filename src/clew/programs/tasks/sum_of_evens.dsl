task sum_of_evens (xs: list) -> int
about     The sum of the even elements.
ensures   even result
example   [-7, -8] -> -8
example   [-2, -8, -7, 6, 7] -> -4
example   [5, -8, -6, -2] -> -16
example   [-7, -3, 4, -1, -4, 8] -> 8
example   [-5, 1, -8, -9, -4, 1, 0, -5, -7] -> -12
reference sum (filter (\x -> even x) xs)
