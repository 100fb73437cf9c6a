task sum_of_positives (xs: list) -> int
about     The sum of the elements above 0.
ensures   sum xs <= result
example   [-9, 5] -> 5
example   [-7, -9, -2, -5, 4] -> 4
example   [4, -4, -3, 1, -5, 4, 1] -> 10
example   [-4, -8, 8, -7] -> 8
example   [-5, 8, 9, 6, -4, -4, -8, 7] -> 30
reference sum (filter (\x -> 0 < x) xs)
